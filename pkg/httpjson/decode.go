package httpjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Decode reads the request's body, at most maxBytes of it, as one JSON value of
// type T. Every error it returns is a *Problem that names the client's mistake:
//
//   - 415 when the Content-Type is not application/json (a charset of utf-8 is
//     allowed, no other parameter is), or there is any Content-Encoding;
//   - 413 when the body is longer than maxBytes;
//   - 408 when the body did not arrive in time;
//   - 400 when the body is not exactly one JSON value: empty, cut short,
//     followed by more, not UTF-8, or with a member name given twice;
//   - 422 when a member is unknown, or has a value that T cannot hold. The
//     problem's Errors name the member by a JSON pointer.
//
// Member names match exactly, case included. A null is refused like any other
// wrong value, for a pointer too: a pointer says that a member may be left out.
// A type whose null has a meaning decodes itself (json.Unmarshaler).
func Decode[T any](r *http.Request, maxBytes int64) (T, error) {
	var v T
	if err := checkHeaders(r.Header); err != nil {
		return v, err
	}
	body, err := readBody(r, maxBytes)
	if err != nil {
		return v, err
	}
	// Syntax comes first, for the whole body, so that the answer to a
	// malformed body does not depend on what T happens to hold.
	if err := checkSyntax(body); err != nil {
		return v, err
	}
	if err := json.Unmarshal(body, &v, strict); err != nil {
		var zero T
		return zero, fieldProblem(err)
	}
	return v, nil
}

func checkHeaders(h http.Header) error {
	if len(h.Values("Content-Encoding")) > 0 {
		return NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "a Content-Encoding is not supported")
	}
	if values := h.Values("Content-Type"); len(values) != 1 || !isJSON(values[0]) {
		return NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "the Content-Type must be application/json")
	}
	return nil
}

func isJSON(contentType string) bool {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "application/json" {
		return false
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	delete(params, "charset")
	return len(params) == 0
}

func readBody(r *http.Request, maxBytes int64) ([]byte, error) {
	tooLarge := NewProblem(http.StatusRequestEntityTooLarge, "body-too-large",
		fmt.Sprintf("the body may have at most %d bytes", maxBytes))
	if r.ContentLength > maxBytes {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBytes+1))
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit) || int64(len(body)) > maxBytes:
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, NewProblem(http.StatusRequestTimeout, "request-timeout", "the body did not arrive in time")
	case err != nil:
		return nil, NewProblem(http.StatusBadRequest, "malformed-body", "the body could not be read")
	}
	return body, nil
}

func checkSyntax(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	_, err := d.ReadValue()
	if err == nil {
		_, err = d.ReadToken()
		if err == nil {
			err = errTrailing
		}
	}
	switch {
	case errors.Is(err, io.EOF) && d.InputOffset() > 0:
		return nil
	case errors.Is(err, io.EOF):
		return malformed("the body is empty")
	}
	return malformed("")
}

var errTrailing = errors.New("trailing data")

func malformed(detail string) *Problem {
	return NewProblem(http.StatusBadRequest, "malformed-json", detail)
}

var strict = json.JoinOptions(
	json.RejectUnknownMembers(true),
	json.WithUnmarshalers(json.UnmarshalFromFunc(refuseNull)),
)

var errNull = errors.New("must not be null")

func refuseNull(d *jsontext.Decoder, v any) error {
	if d.PeekKind() != 'n' {
		return errors.ErrUnsupported
	}
	switch v.(type) {
	case json.Unmarshaler, json.UnmarshalerFrom:
		return errors.ErrUnsupported
	}
	if reflect.TypeOf(v).Elem().Kind() == reflect.Interface {
		return errors.ErrUnsupported
	}
	return errNull
}

func fieldProblem(err error) *Problem {
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return InvalidFields(FieldError{Detail: "is not acceptable"})
	}
	return InvalidFields(FieldError{Field: string(semantic.JSONPointer), Detail: err.Error()})
}
