package main

import (
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"
)

// response writes the body.
func (s stdio) response(res *http.Response) error {
	_, err := io.Copy(s.out, res.Body)
	return err
}

// wholeResponse writes status, headers and body as HTTP/1.1 does.
func (s stdio) wholeResponse(res *http.Response) error {
	if _, err := fmt.Fprintf(s.out, "%s %s\r\n", res.Proto, res.Status); err != nil {
		return err
	}
	if err := res.Header.Write(s.out); err != nil {
		return err
	}
	if _, err := io.WriteString(s.out, "\r\n"); err != nil {
		return err
	}
	return s.response(res)
}

// responseOutput is what request --json prints.
type responseOutput struct {
	Status     int         `json:"status"`
	Headers    http.Header `json:"headers"`
	Body       *string     `json:"body,omitempty"`
	BodyBase64 []byte      `json:"body_base64,omitempty"` // instead of Body, if it is not UTF-8
}

func (s stdio) responseJSON(res *http.Response) error {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	out := responseOutput{Status: res.StatusCode, Headers: res.Header}
	if text := string(body); utf8.ValidString(text) {
		out.Body = &text
	} else {
		out.BodyBase64 = body
	}
	return s.json(out)
}
