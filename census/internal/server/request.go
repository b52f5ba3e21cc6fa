package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"example.com/micromachine/census"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/svcauth"
)

// requestTime is how long a request may wait for the database.
const requestTime = 10 * time.Second

// The sizes of a page of users.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// actor returns for whom the verified request is made. A subject that is not
// exactly the URI of a user of this Census is nobody, who may do nothing. Being
// trusted to act for a user is not yet to be trusted with his administrative
// power; that takes the user himself, or the trust file's word for the caller.
func (s *server) actor(r *http.Request) census.Actor {
	caller, _ := svcauth.CallerFrom(r.Context())
	subject, _ := svcauth.SubjectFrom(r.Context())
	id, _ := s.url.UserID(string(subject))
	return census.Actor{ID: id, Admin: caller.Session || caller.Admin}
}

// parseQuery reads the query of GET /user/. What is unknown, given twice or not
// acceptable is refused, lest a mistyped filter list everybody.
func parseQuery(raw string) (census.Query, error) {
	query := census.Query{Limit: defaultLimit}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query, badParameter("the query is malformed")
	}
	for name, given := range values {
		if len(given) > 1 {
			return query, badParameter("a parameter is given twice")
		}
		value := given[0]
		switch name {
		case "limit":
			var limit int64
			limit, err = parseNumber(name, value, 1, maxLimit)
			query.Limit = int(limit)
		case "after":
			query.After, err = parseNumber(name, value, 0, census.MaxID)
		case "email":
			if query.Email, err = census.NormalizeEmail(value); err != nil {
				err = badParameter("email " + err.Error())
			}
		default:
			err = badParameter("the parameters are limit, after and email")
		}
		if err != nil {
			return query, err
		}
	}
	return query, nil
}

func parseNumber(name, value string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least || n > most || strconv.FormatInt(n, 10) != value {
		return 0, badParameter(fmt.Sprintf("%s must be a whole number from %d to %d", name, least, most))
	}
	return n, nil
}

func badParameter(detail string) error {
	return httpjson.NewProblem(http.StatusBadRequest, "invalid-parameter", detail)
}

// tellInvalid names the fields that the domain does not accept as members of the
// request's body, which have the same names.
func tellInvalid(next httpjson.Handler) httpjson.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := next(w, r)
		invalid, ok := errors.AsType[*census.InvalidError](err)
		if !ok {
			return err
		}
		fields := make([]httpjson.FieldError, 0, len(invalid.Fields))
		for _, f := range invalid.Fields {
			fields = append(fields, httpjson.FieldError{Field: "/" + f.Field, Detail: f.Err.Error()})
		}
		return httpjson.InvalidFields(fields...)
	}
}

// limitTime bounds how long a request may take.
func limitTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// noStore keeps answers about users out of caches, which do not know that they
// depend on the token.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// audit logs who has changed what and in whose name, and who was refused what.
// What was merely read, which is most, is not logged.
func (s *server) audit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(answer, r)
		reading := r.Method == http.MethodGet || r.Method == http.MethodHead
		if reading && answer.Status() < http.StatusBadRequest {
			return
		}
		caller, _ := svcauth.CallerFrom(r.Context())
		subject, _ := svcauth.SubjectFrom(r.Context())
		s.log.InfoContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path, "status", answer.Status(),
			"location", answer.Header().Get("Location"), "caller", caller.Issuer, "subject", string(subject))
	})
}
