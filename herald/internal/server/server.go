// Package server is Herald's API over HTTP, as openapi.yaml describes it. It turns requests into
// the types of package herald.
package server

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/service"
)

// maxBody is the size in bytes that a request's body may have.
const maxBody = 16 << 10

// Store stores the notifications. Its operations return the errors of package herald. See package
// postgres.
type Store interface {
	Claim(ctx context.Context, r herald.Request, key string) (herald.Claim, *herald.Notification, error)
	Create(ctx context.Context, claim herald.Claim) (*herald.Notification, error)
	Release(ctx context.Context, claim herald.Claim) error
	Notification(ctx context.Context, creator string, id uuid.UUID) (*herald.Notification, error)
}

// Deliveries is what delivers the notifications.
type Deliveries interface {
	// Accept does what [Store.Create] does, and delivers the notification at once where it can, to
	// the recipient that Census answered when it was asked. It calls release when this delivery
	// ends or is paused, or before it returns if there is none.
	Accept(
		ctx context.Context, claim herald.Claim, recipient herald.Recipient, asked time.Time, release func(),
	) (*herald.Notification, error)
}

// Config configures [New].
type Config struct {
	// API is what all services have in common. The URIs of the notifications begin with its URL.
	// Required.
	API service.API
	// Store stores the notifications. Required.
	Store Store
	// Census is asked whether the creator may see the user. Required.
	Census *censusclient.Client
	// Deliveries accepts the notifications whose recipient is known. Nil: Store does.
	Deliveries Deliveries
	// Backlog is the notifications that are not delivered yet. While it lags and is not stalled,
	// fewer are accepted. Nil: none.
	Backlog httpserve.Backlog
}

type server struct {
	Config
}

// New returns the handler of Herald's public listener.
func New(c Config) *chi.Mux {
	s := &server{c}
	r, adapter := c.API.NewRouter(herald.OpenAPI, statuses, requestTime)
	writes := c.API.Authenticated(r, httpserve.AdmissionConfig{Name: "writes", Backlog: c.Backlog}, maxBody)
	writes.Post("/notification/", adapter.Handle(s.createNotification))
	reads := c.API.Authenticated(r, httpserve.AdmissionConfig{Name: "reads"}, maxBody)
	reads.Get("/notification/{id}/", adapter.Handle(s.getNotification))
	return r
}

// statuses maps the errors of the domain, of Census and of the storage to responses.
var statuses = []httpjson.ErrorStatus{
	{Err: censusclient.ErrForbidden, Problem: *httpjson.NewProblem(http.StatusForbidden, "forbidden",
		"the user in whose name the call is made may not see the user to be notified")},
	{Err: censusclient.ErrNotFound, Problem: *httpjson.InvalidFields(
		httpjson.FieldError{Field: "/user", Detail: "must be a user whom Census knows"})},
	{Err: herald.ErrNotFound, Problem: *httpjson.NewProblem(http.StatusNotFound, "notification-not-found",
		"there is no such notification, or it is somebody else's")},
	{Err: herald.ErrKeyInUse, Problem: *httpjson.NewProblem(http.StatusConflict, "idempotency-key-in-use",
		"a request with the same Idempotency-Key has not been answered yet").After(time.Second)},
	{Err: herald.ErrKeyReused, Problem: *httpjson.NewProblem(http.StatusUnprocessableEntity, "idempotency-key-reused",
		"the Idempotency-Key was used for another request")},
	{Err: herald.ErrInDoubt, Problem: *httpjson.Unavailable(
		"the notification may have been stored: a request with an Idempotency-Key can be repeated safely with the same key")},
	{Match: database.Unavailable, Problem: *httpjson.Unavailable("the database is not available")},
}
