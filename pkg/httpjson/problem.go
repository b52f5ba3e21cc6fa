package httpjson

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// typePrefix starts the type of every problem this module's services answer
// with. The URNs are stable: clients may compare them.
const typePrefix = "urn:micromachine:problem:"

// Problem is a problem detail of RFC 9457. It is an error, so a handler may
// return one to say exactly what the client is told.
type Problem struct {
	// Type is a stable URN, "urn:micromachine:problem:not-found".
	Type string `json:"type"`
	// Title is a short summary, the same for every problem of the type.
	Title string `json:"title"`
	// Status is the HTTP status that the problem is sent with.
	Status int `json:"status"`
	// Detail explains this occurrence. It is read by the client: it holds
	// no cause that is the server's own business.
	Detail string `json:"detail,omitempty"`
	// Errors names the faulty members of a request's body.
	Errors []FieldError `json:"errors,omitempty"`
	// RetryAfter is sent as the header Retry-After, in whole seconds. Zero: one second with status
	// 503, and no header with any other.
	RetryAfter time.Duration `json:"-"`
}

// FieldError says what is wrong with one member of a request's body.
type FieldError struct {
	// Field is a JSON pointer (RFC 6901) into the body: "/user". The empty
	// string is the body as a whole.
	Field string `json:"field"`
	// Detail completes a sentence that starts with the field: "must be a string".
	Detail string `json:"detail"`
}

// NewProblem makes a problem of the type urn:micromachine:problem:name, titled
// with the status's standard text. A detail may be empty.
func NewProblem(status int, name, detail string) *Problem {
	return &Problem{Type: typePrefix + name, Title: http.StatusText(status), Status: status, Detail: detail}
}

// InvalidFields makes the 422 problem for a body which is well-formed JSON but
// whose named members cannot be accepted.
func InvalidFields(fields ...FieldError) *Problem {
	p := NewProblem(http.StatusUnprocessableEntity, "invalid-field", "")
	p.Errors = fields
	return p
}

// Unavailable makes the 503 problem for a request that can succeed when it is sent
// again.
func Unavailable(detail string) *Problem {
	return NewProblem(http.StatusServiceUnavailable, "unavailable", detail)
}

// After sets RetryAfter and returns the problem.
func (p *Problem) After(d time.Duration) *Problem {
	p.RetryAfter = d
	return p
}

// Error returns the problem's title, its detail and what is wrong with which field.
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

// Write sends the problem as application/problem+json. A problem tells of one
// request alone and is never to be cached. A Retry-After header that is there
// already is left as it is.
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
