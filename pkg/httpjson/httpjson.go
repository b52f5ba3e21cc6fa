// Package httpjson reads JSON requests strictly and writes JSON responses. Its handlers return
// errors, and an [Adapter] turns each error into a problem detail (RFC 9457).
//
//	api := httpjson.NewAdapter(log, []httpjson.ErrorStatus{
//		{Err: census.ErrNotFound, Problem: *httpjson.NewProblem(404, "user-not-found", "")},
//	})
//	router.NotFound(api.NotFound)
//	router.MethodNotAllowed(api.MethodNotAllowed)
//	router.Post("/user/", api.Handle(func(w http.ResponseWriter, r *http.Request) error {
//		body, err := httpjson.Decode[newUser](r, 16<<10)
//		if err != nil {
//			return err
//		}
//		...
//		return httpjson.Write(w, http.StatusCreated, user)
//	}))
package httpjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// Write sends v as application/json with a status. It encodes v before it sends anything. If
// encoding fails, it returns the error, and the caller can still send another response.
func Write(w http.ResponseWriter, status int, v any) error {
	return write(w, status, "application/json", v)
}

func write(w http.ResponseWriter, status int, contentType string, v any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encoding answer: %w", err)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if _, err := w.Write(body.Bytes()); err != nil {
		return fmt.Errorf("sending answer: %w", err)
	}
	return nil
}
