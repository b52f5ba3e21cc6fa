// Package census is the domain of Census, the service that stores the users of a system and who may
// see whom. It holds the types, rules and errors that storage and HTTP share, and imports neither.
//
// Users see their own record and the records of those who made them a viewer. An administrator sees
// every user. The HTTP layer determines the actor of an operation. The storage decides what the
// actor may do, in the SQL statement that does it.
package census

import (
	_ "embed"
	"errors"
)

// OpenAPI is the description of Census's API, an OpenAPI 3.1 document in YAML.
//
//go:embed openapi.yaml
var OpenAPI string

// The errors of refused operations.
var (
	// ErrForbidden says that the actor may not do the operation. It is also the error for a user
	// who does not exist, unless the actor may see every user, so that the answer does not reveal
	// which users exist.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound says that the user does not exist. Only actors who may see every user get it.
	ErrNotFound = errors.New("user not found")
	// ErrViewerNotFound says that the user who is to become a viewer does not exist.
	ErrViewerNotFound = errors.New("viewer not found")
	// ErrEmailTaken says that another user has the email address.
	ErrEmailTaken = errors.New("email address is taken")
	// ErrIDTaken says that another user has the ID.
	ErrIDTaken = errors.New("user ID is taken")
)

// A User is one user in Census.
type User struct {
	ID     int64
	Name   string
	Email  string // unique without regard to case
	Locale string // a BCP 47 language tag
	Admin  bool   // may see and change every user, and create users
}

// An Update changes those fields of a user that are not nil.
type Update struct {
	Name, Email, Locale *string
}

// A Query selects one page of the users, ordered by ID.
type Query struct {
	Email string // only the user with this address, ignoring case; "" selects all users
	After int64  // only users with a greater ID
	Limit int    // the largest number of users on the page, at least 1
}

// A Page is one part of a list of users.
type Page struct {
	Users []User
	More  bool // the list goes on after this page
}

// An Actor is the user for whom an operation is done.
type Actor struct {
	// ID is the user's ID. The user need not exist. No user has the ID 0.
	ID int64
	// Admin allows the operation to use the user's rights as an administrator, if the user is one.
	Admin bool

	operator bool
}

// Operator returns the actor for the command line, who has direct access to the database and may do
// everything. No HTTP request acts as the operator.
func Operator() Actor { return Actor{operator: true} }

// IsOperator reports whether the actor is the operator.
func (a Actor) IsOperator() bool { return a.operator }
