package server

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/svcauth"
)

// requestTime is how long a request may wait for Census and the database. It is much shorter than
// the lifetime of a claim of an idempotency key.
const requestTime = 7 * time.Second

// releaseTime is how long the release of a claim may take.
const releaseTime = 2 * time.Second

// maxKey is the maximum length of an idempotency key.
const maxKey = 255

// The limits, in bytes, of the values that are stored and indexed: the creator, and the key with
// the name of the calling service.
const (
	maxCreator   = 1024
	maxStoredKey = 1024
)

// creator returns the token's subject: a user or the calling service itself. ok is false when the
// subject is too long to be stored.
func creator(r *http.Request) (subject string, ok bool) {
	s, _ := svcauth.SubjectFrom(r.Context())
	return string(s), len(s) <= maxCreator
}

// readRequest reads the request's body and its idempotency key. The key is empty when the request
// has none.
func (s *server) readRequest(r *http.Request) (request herald.Request, key string, err error) {
	by, ok := creator(r)
	if !ok {
		return request, "", httpjson.NewProblem(http.StatusBadRequest, "invalid-subject",
			fmt.Sprintf("the subject of the token must have at most %d bytes", maxCreator))
	}
	body, err := httpjson.Decode[struct {
		User string      `json:"user"`
		Type herald.Type `json:"type"`
	}](r, maxBody)
	if err != nil {
		return request, "", err
	}
	var faults []httpjson.FieldError
	id, ok := s.Census.UserID(body.User)
	if !ok {
		faults = append(faults, s.Census.UserFault("/user"))
	}
	if !body.Type.Known() {
		faults = append(faults, httpjson.FieldError{Field: "/type", Detail: "must be " + knownTypes()})
	}
	if len(faults) > 0 {
		return request, "", httpjson.InvalidFields(faults...)
	}
	key, err = idempotencyKey(r)
	return herald.Request{Creator: by, UserID: id, Type: body.Type}, key, err
}

// knownTypes lists the types for an error text.
func knownTypes() string {
	var names []string
	for _, t := range herald.Types() {
		names = append(names, string(t))
	}
	return strings.Join(names, " or ")
}

// idempotencyKey returns the request's key, prefixed with the name of the calling service: two
// services that act for the same user may choose equal keys.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || values[0] == "" || len(values[0]) > maxKey ||
		strings.ContainsFunc(values[0], notPrintableASCII) {
		return "", httpjson.NewProblem(http.StatusBadRequest, "invalid-idempotency-key",
			"the Idempotency-Key must be one header of 1 to 255 printable ASCII characters")
	}
	caller, _ := svcauth.CallerFrom(r.Context())
	key := caller.Issuer + " " + values[0]
	if len(key) > maxStoredKey {
		return "", httpjson.NewProblem(http.StatusBadRequest, "invalid-idempotency-key",
			fmt.Sprintf("the Idempotency-Key and the name of the calling service must have at most %d bytes together",
				maxStoredKey-1))
	}
	return key, nil
}

func notPrintableASCII(r rune) bool { return r < ' ' || r > '~' }
