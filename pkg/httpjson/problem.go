package httpjson

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// typePrefix is the prefix of the type of every problem. The URNs are stable, so clients may
// compare them.
const typePrefix = "urn:micromachine:problem:"

// A Problem is a problem detail (RFC 9457). It is an error: a handler returns a Problem to send
// exactly this response.
type Problem struct {
	// Type is a stable URN such as "urn:micromachine:problem:not-found".
	Type string `json:"type"`
	// Title is a short summary, the same for all problems of a type.
	Title string `json:"title"`
	// Status is the HTTP status of the response.
	Status int `json:"status"`
	// Detail explains this occurrence. Clients see it, so it must not contain internal causes.
	Detail string `json:"detail,omitempty"`
	// Errors lists the invalid members of the request's body.
	Errors []FieldError `json:"errors,omitempty"`
	// RetryAfter is the value of the Retry-After header, rounded down to seconds. Zero: one second
	// with status 503, and no header with any other status.
	RetryAfter time.Duration `json:"-"`
}

// A FieldError describes what is wrong with one member of a request's body.
type FieldError struct {
	// Field is a JSON pointer (RFC 6901) into the body, such as "/user". Empty: the whole body.
	Field string `json:"field"`
	// Detail completes a sentence that starts with the field: "must be a string".
	Detail string `json:"detail"`
}

// NewProblem returns a problem of the type urn:micromachine:problem:name. Its title is the standard
// text of the status. detail may be empty.
func NewProblem(status int, name, detail string) *Problem {
	return &Problem{Type: typePrefix + name, Title: http.StatusText(status), Status: status, Detail: detail}
}

// InvalidFields returns a problem with status 422, for a body that is well-formed JSON and has
// invalid members.
func InvalidFields(fields ...FieldError) *Problem {
	p := NewProblem(http.StatusUnprocessableEntity, "invalid-field", "")
	p.Errors = fields
	return p
}

// Unavailable returns a problem with status 503, for a request that the client may retry.
func Unavailable(detail string) *Problem {
	return NewProblem(http.StatusServiceUnavailable, "unavailable", detail)
}

// After sets RetryAfter and returns the problem.
func (p *Problem) After(d time.Duration) *Problem {
	p.RetryAfter = d
	return p
}

// Error returns the title, the detail and the field errors.
func (p *Problem) Error() string {
	parts := []string{p.Title}
	if p.Detail != "" {
		parts = append(parts, p.Detail)
	}
	for _, e := range p.Errors {
		parts = append(parts, cmp.Or(e.Field, "the body")+" "+e.Detail)
	}
	return strings.Join(parts, ": ")
}

// Write sends the problem as application/problem+json, which must not be cached. It keeps a
// Retry-After header that is already set.
func (p *Problem) Write(w http.ResponseWriter) error {
	w.Header().Set("Cache-Control", "no-store")
	after := p.RetryAfter
	if p.Status == http.StatusServiceUnavailable {
		after = cmp.Or(after, time.Second)
	}
	if after > 0 && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", strconv.Itoa(int(after.Seconds())))
	}
	return write(w, p.Status, "application/problem+json", p)
}
