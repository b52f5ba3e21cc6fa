package censusclient

import (
	"net/http"

	"example.com/micromachine/pkg/httpjson"
)

// Problems maps the errors of [Client.User] to the responses of a service that cannot go on without
// the user named in the member "user" of a request's body.
func Problems() []httpjson.ErrorStatus {
	return []httpjson.ErrorStatus{
		{Err: ErrForbidden, Problem: *httpjson.NewProblem(http.StatusForbidden, "forbidden",
			"the user on whose behalf the call is made may not see this user, or there is no such user")},
		{Err: ErrNotFound, Problem: *httpjson.InvalidFields(
			httpjson.FieldError{Field: "/user", Detail: "must be a user whom Census knows"})},
		{Err: ErrUnavailable, Problem: *httpjson.Unavailable("Census is not available")},
	}
}

// UserFault returns the fault of a member of a request's body that is not the URI of a user. field
// is a JSON pointer.
func (c *Client) UserFault(field string) httpjson.FieldError {
	return httpjson.FieldError{Field: field, Detail: "must be the URI of a user, such as " + c.UserURI(42)}
}
