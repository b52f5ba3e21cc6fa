// Package herald is the domain of Herald, the service that notifies users by
// mail. It holds the types, rules and errors that storage, delivery and HTTP
// share, and knows none of them.
//
// A notification is asked for once, by a [Request]. From then on it is queued
// until an attempt to deliver it begins, sending while one is under way, and in
// the end sent or failed:
//
//	queued ⇄ sending → sent
//	            └────→ failed
//
// Herald never loses a notification and never doubles one silently: where it
// cannot know whether a mail went out it sends it again, under the same
// Message-ID, and marks the notification a possible duplicate.
package herald

import (
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
)

// The ways in which an operation is refused.
var (
	// ErrNotFound says that there is no such notification, or that it is
	// somebody else's: nobody is told which.
	ErrNotFound = errors.New("notification not found")
	// ErrForbidden says that the creator may not see the user.
	ErrForbidden = errors.New("not allowed to see the user")
	// ErrUserNotFound says that there is no such user.
	ErrUserNotFound = errors.New("user not found")
	// ErrCensusUnavailable says that Census cannot answer now.
	ErrCensusUnavailable = errors.New("Census is unavailable") //nolint:staticcheck // a name
	// ErrKeyInUse says that another request with the same idempotency key
	// has not been answered yet.
	ErrKeyInUse = errors.New("idempotency key is in use")
	// ErrKeyReused says that the idempotency key was used for another request.
	ErrKeyReused = errors.New("idempotency key was used for another request")
	// ErrInDoubt says that the answer to a commit was lost: the notification may
	// exist, or not.
	ErrInDoubt = errors.New("the notification may have been stored")
)

// A Type says what a notification tells the user.
type Type string

// The types.
const (
	WelcomeMessage Type = "welcome-message" // welcomes a new user
)

// types are all types. A new one is a row here, its templates in package mail, and its value in
// openapi.yaml, which a test compares with these.
var types = []Type{
	WelcomeMessage,
}

// Types returns all types.
func Types() []Type { return slices.Clone(types) }

// Known reports whether Herald can send notifications of the type.
func (t Type) Known() bool { return slices.Contains(types, t) }

// A Status says how far a notification has come.
type Status string

// The statuses.
const (
	Queued  Status = "queued"  // waits for its first or next attempt
	Sending Status = "sending" // an attempt is under way
	Sent    Status = "sent"    // the mail server has taken the mail
	Failed  Status = "failed"  // and will not be tried again
)

// Over reports whether nothing more will happen to the notification.
func (s Status) Over() bool { return s == Sent || s == Failed }

// A Request asks for a notification. Two requests are the same when they are equal.
type Request struct {
	Creator string // URI of the user, or name of the service, on whose behalf it is made
	UserID  int64  // whom to notify
	Type    Type
}

// A Claim holds an idempotency key while its request is being answered. The zero
// value is the claim of a request without a key.
type Claim struct {
	Request
	Key string
	At  time.Time // tells it from later claims to the same key
}

// A Notification is something that a user is to be told.
type Notification struct {
	Request
	ID                uuid.UUID
	Status            Status
	PossibleDuplicate bool // the mail may have arrived more than once
	CreatedAt         time.Time
	UpdatedAt         time.Time
	NextAttemptAt     *time.Time // nil while none is planned
	Attempts          []Attempt  // by rising number
}

// New returns a notification as it is when it has just been created, with
// nothing attempted yet.
func New(id uuid.UUID, r Request, createdAt time.Time) *Notification {
	return &Notification{Request: r, ID: id, Status: Queued, CreatedAt: createdAt, UpdatedAt: createdAt}
}

// An Attempt is one try to deliver a notification.
type Attempt struct {
	Number     int // from 1
	StartedAt  time.Time
	FinishedAt *time.Time // nil while it is under way
	Result
}

// A Result is what came of an attempt.
type Result struct {
	Outcome  Outcome // empty while it is under way
	SMTPCode int     // the mail server's reply; 0 where there was none
	Detail   string  // for people; it never holds a mail address
}

// An Outcome is the kind of a Result.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted" // the mail server has taken the mail
	Refused  Outcome = "refused"  // the mail cannot be sent, now or later
	Deferred Outcome = "deferred" // the mail could not be sent now
	Unknown  Outcome = "unknown"  // the mail was sent, perhaps: nobody was told
)

// A Delivery is the job of delivering a notification. It holds nothing but the
// notification's ID, so that what is queued cannot grow stale.
type Delivery struct {
	NotificationID uuid.UUID `json:"notification_id"`
}

// Kind names the job.
func (Delivery) Kind() string { return "delivery" }

// A Recipient is a user as Census knows them.
type Recipient struct {
	Name   string
	Email  string
	Locale string // a BCP 47 language tag
}
