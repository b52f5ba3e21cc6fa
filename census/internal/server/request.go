package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"example.com/micromachine/census"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/svcauth"
)

// requestTime is the time limit of a request, including its database statements.
const requestTime = 8 * time.Second

// The default and the largest number of users on a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// actor returns the actor of a verified request. A subject that is not exactly the URI of a user of
// this Census becomes an actor with the ID 0, who may do nothing. A service that may act for a user
// may not use that user's rights as an administrator, unless the trust file allows it for this
// service or the user calls in person with a session token.
func (s *server) actor(r *http.Request) census.Actor {
	caller, _ := svcauth.CallerFrom(r.Context())
	subject, _ := svcauth.SubjectFrom(r.Context())
	id, _ := s.url.UserID(string(subject))
	return census.Actor{ID: id, Admin: caller.Session || caller.Admin}
}

// parseQuery parses the query of GET /user/. It rejects unknown, repeated and malformed parameters,
// because a mistyped filter would list all users.
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

// renderInvalid converts a [*census.InvalidError] of next into a problem that lists the invalid
// members of the request's body. The members have the same names as the fields.
func renderInvalid(next httpjson.Handler) httpjson.Handler {
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
