package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/svcauth"
)

// requestTime is how long a request may wait for Census and the database. It is
// much shorter than the lifetime of a claim to an idempotency key.
const requestTime = 10 * time.Second

// releaseTime is how long the giving up of such a claim may take.
const releaseTime = 2 * time.Second

// maxKey is the length that an idempotency key may have.
const maxKey = 255

// creator returns for whom the verified request is made: a user, or the calling
// service itself.
func creator(r *http.Request) string {
	subject, _ := svcauth.SubjectFrom(r.Context())
	return string(subject)
}

// readRequest reads what is asked for, and the idempotency key, which is empty
// where there is none.
func (s *server) readRequest(r *http.Request) (request herald.Request, key string, err error) {
	body, err := httpjson.Decode[struct {
		User string      `json:"user"`
		Type herald.Type `json:"type"`
	}](r, maxBody)
	if err != nil {
		return request, "", err
	}
	var faults []httpjson.FieldError
	id, ok := herald.UserID(s.CensusURL, body.User)
	if !ok {
		faults = append(faults, httpjson.FieldError{Field: "/user", Detail: "must be the URI of a user, as " + herald.UserURI(s.CensusURL, 42) + " is one"})
	}
	if !body.Type.Known() {
		faults = append(faults, httpjson.FieldError{Field: "/type", Detail: "must be " + string(herald.WelcomeMessage)})
	}
	if len(faults) > 0 {
		return request, "", httpjson.InvalidFields(faults...)
	}
	key, err = idempotencyKey(r.Header)
	return herald.Request{Creator: creator(r), UserID: id, Type: body.Type}, key, err
}

func idempotencyKey(h http.Header) (string, error) {
	values := h.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || values[0] == "" || len(values[0]) > maxKey || strings.ContainsFunc(values[0], notPrintableASCII) {
		return "", httpjson.NewProblem(http.StatusBadRequest, "invalid-idempotency-key",
			"the Idempotency-Key must be one header of 1 to 255 printable ASCII characters")
	}
	return values[0], nil
}

func notPrintableASCII(r rune) bool { return r < ' ' || r > '~' }

// limitTime bounds how long a request may take.
func limitTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// noStore keeps answers about notifications out of caches, which do not know that
// they depend on the token.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// audit logs who has asked for which notification and in whose name, and who was
// refused what. What was merely read is not logged.
func (s *server) audit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(answer, r)
		reading := r.Method == http.MethodGet || r.Method == http.MethodHead
		if reading && answer.Status() < http.StatusBadRequest {
			return
		}
		caller, _ := svcauth.CallerFrom(r.Context())
		s.Logger.InfoContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path, "status", answer.Status(),
			"location", answer.Header().Get("Location"), "caller", caller.Issuer, "subject", creator(r))
	})
}
