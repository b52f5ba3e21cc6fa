package httpjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Decode reads a request's body of at most maxBytes as one JSON value of type T. All its errors are
// a [*Problem] with the client's mistake:
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
// Member names are case-sensitive. A null is rejected like any other wrong value, also for a
// pointer, which means that the member may be absent. A type for which null has a meaning
// implements [json.Unmarshaler].
func Decode[T any](r *http.Request, maxBytes int64) (T, error) {
	var v T
	if err := checkHeaders(r.Header); err != nil {
		return v, err
	}
	body, err := readBody(r, maxBytes)
	if err != nil {
		return v, err
	}
	// The syntax of the whole body is checked first, so that the response to a malformed body does
	// not depend on T.
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
		return NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type",
			"a Content-Encoding is not supported")
	}
	if values := h.Values("Content-Type"); len(values) != 1 || !isJSON(values[0]) {
		return NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type",
			"the Content-Type must be application/json")
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

// checkSyntax returns a problem unless body is exactly one JSON value (RFC 8259) whose member names
// are unique and whose text is UTF-8 (RFC 7493).
func checkSyntax(body []byte) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return malformed("the body is empty")
	case !utf8.Valid(body):
		return malformed("the body is not UTF-8")
	}
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if _, err := d.ReadValue(); err != nil {
		return syntaxProblem(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return malformed("there is more after the JSON value")
	}
	return nil
}

func syntaxProblem(err error) *Problem {
	var syntax *jsontext.SyntacticError
	switch {
	case !errors.As(err, &syntax):
		return malformed("")
	case errors.Is(syntax.Err, jsontext.ErrDuplicateName):
		return malformed(fmt.Sprintf("the member %s is given twice", syntax.JSONPointer))
	case errors.Is(syntax.Err, io.ErrUnexpectedEOF):
		return malformed("the body is cut short")
	}
	return malformed(fmt.Sprintf("the body is not JSON at byte %d", syntax.ByteOffset))
}

func malformed(detail string) *Problem {
	return NewProblem(http.StatusBadRequest, "malformed-json", detail)
}
