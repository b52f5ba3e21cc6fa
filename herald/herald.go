// Package herald is the domain of Herald, the service that notifies users by mail. It holds the
// types, rules and errors that storage, delivery and HTTP share. It imports none of these.
//
// A [Request] creates a notification. The notification is queued until the first attempt to deliver
// it begins. It is sending while an attempt is in progress. It ends as sent or failed:
//
//	queued ⇄ sending → sent
//	            └────→ failed
//
// Herald never loses a notification and never sends one twice without saying so. When Herald cannot
// know whether a mail was sent, it sends the mail again under the same Message-ID and marks the
// notification as a possible duplicate.
package herald

import (
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
)

// The errors with which an operation is refused.
var (
	// ErrNotFound says that the notification does not exist or belongs to another creator. The
	// caller cannot distinguish the two.
	ErrNotFound = errors.New("notification not found")
	// ErrKeyInUse says that another request with the same idempotency key is still in progress.
	ErrKeyInUse = errors.New("idempotency key is in use")
	// ErrKeyReused says that the idempotency key was used for another request.
	ErrKeyReused = errors.New("idempotency key was used for another request")
	// ErrInDoubt says that the reply to a commit was lost. The notification may or may not exist.
	ErrInDoubt = errors.New("the notification may have been stored")
)

// A Type is the kind of a notification. It determines the content of the mail.
type Type string

// The notification types.
const (
	WelcomeMessage Type = "welcome-message" // welcomes a new user
)

// types lists all types. To add a type, add a row here, its templates in package mail, and its
// value in openapi.yaml. Tests compare the three.
var types = []Type{
	WelcomeMessage,
}

// Types returns all types, in the order of their declaration.
func Types() []Type { return slices.Clone(types) }

// Known reports whether t is one of [Types].
func (t Type) Known() bool { return slices.Contains(types, t) }

// A Status is the state of a notification.
type Status string

// The statuses.
const (
	Queued  Status = "queued"  // waits for its first or next attempt
	Sending Status = "sending" // an attempt is in progress
	Sent    Status = "sent"    // the mail server has accepted the mail
	Failed  Status = "failed"  // will not be tried again
)

// Final reports whether the status is final: [Sent] or [Failed].
func (s Status) Final() bool { return s == Sent || s == Failed }

// A Request asks for a notification. Two requests are equal when all their fields are equal.
type Request struct {
	Creator string // the URI of the user, or the name of the service, that the request is made for
	UserID  int64  // the user to notify
	Type    Type
}

// A Claim reserves an idempotency key while its request is processed. The zero value is the claim
// of a request without a key.
type Claim struct {
	Request
	Key string
	At  time.Time // distinguishes it from later claims of the same key
}

// A Notification is a message to a user, with the state of its delivery.
type Notification struct {
	Request
	ID                uuid.UUID
	Status            Status
	PossibleDuplicate bool // the mail may have arrived more than once
	CreatedAt         time.Time
	UpdatedAt         time.Time
	NextAttemptAt     *time.Time // nil when none is scheduled
	Attempts          []Attempt  // in ascending order of Number
}

// New returns a queued notification without attempts.
func New(id uuid.UUID, r Request, createdAt time.Time) *Notification {
	return &Notification{Request: r, ID: id, Status: Queued, CreatedAt: createdAt, UpdatedAt: createdAt}
}

// An Attempt is one attempt to deliver a notification.
type Attempt struct {
	Number     int // from 1
	StartedAt  time.Time
	FinishedAt *time.Time // nil while the attempt is in progress
	Result
}

// A Result is the result of an attempt.
type Result struct {
	Outcome  Outcome // empty while the attempt is in progress
	SMTPCode int     // the code of the mail server's reply; 0 without a reply
	Detail   string  // a description for people; it never contains a mail address
}

// An Outcome is the kind of a Result.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted" // the mail server has accepted the mail
	Refused  Outcome = "refused"  // the mail cannot be sent; a retry would not help
	Deferred Outcome = "deferred" // the mail could not be sent; a retry may help
	Unknown  Outcome = "unknown"  // the mail may have been sent; the reply was lost
)

// A Delivery holds the arguments of the job that delivers a notification. They are the
// notification's ID alone, so that a queued job never holds outdated data.
type Delivery struct {
	NotificationID uuid.UUID `json:"notification_id"`
}

// Kind returns the job's kind. It implements river.JobArgs.
func (Delivery) Kind() string { return "delivery" }

// A Recipient is the user to notify, with the data that Census returned.
type Recipient struct {
	Name   string
	Email  string
	Locale string // a BCP 47 language tag
}
