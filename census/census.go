// Package census is the domain of Census, the service that knows the users of a
// system: who they are, and who may see whom. It holds the types, rules and
// errors that storage and HTTP share, and knows neither.
//
// A user sees their own record and whoever made them a viewer; an administrator sees
// everybody. Which actor a call is made for is settled before it gets here; what
// that actor may do is decided by the storage, in the statement that does it.
package census

import (
	_ "embed"
	"errors"
)

// OpenAPI is the description of Census's API, an OpenAPI 3.1 document in YAML.
//
//go:embed openapi.yaml
var OpenAPI string

// The ways in which an operation is refused.
var (
	// ErrForbidden says that the actor may not do it. It is the answer for a
	// user who does not exist, too, to all who might not see them if they did.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound says that there is no such user. Only those who may see
	// everybody are told so.
	ErrNotFound = errors.New("user not found")
	// ErrViewerNotFound says that there is no such user to be made a viewer.
	ErrViewerNotFound = errors.New("viewer not found")
	// ErrEmailTaken says that another user has the address.
	ErrEmailTaken = errors.New("email address is taken")
	// ErrIDTaken says that another user has the ID.
	ErrIDTaken = errors.New("user ID is taken")
)

// A User is somebody whom Census knows.
type User struct {
	ID     int64
	Name   string
	Email  string // unique without regard to case
	Locale string // a BCP 47 language tag
	Admin  bool   // may see and change everybody, and make new users
}

// An Update changes some fields of a user: those that are not nil.
type Update struct {
	Name, Email, Locale *string
}

// A Query asks for one page of the users, by rising ID.
type Query struct {
	Email string // only the user who has it, in any case; "": all
	After int64  // only users with an ID above it
	Limit int    // at most so many, 1 or more
}

// A Page is a part of a list of users.
type Page struct {
	Users []User
	More  bool // there are users after the last of these
}

// An Actor is the one for whom an operation is done.
type Actor struct {
	// ID is the user's. There need be no such user; nobody has the ID 0.
	ID int64
	// Admin allows the user's administrative power, if there is any, to be used.
	Admin bool

	operator bool
}

// Operator returns the actor who has the database itself at hand, and to whom
// Census could refuse nothing. It is for the command line; no call acts as it.
func Operator() Actor { return Actor{operator: true} }

// IsOperator reports whether the actor is the operator.
func (a Actor) IsOperator() bool { return a.operator }
