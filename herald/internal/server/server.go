// Package server is Herald's API over HTTP, as openapi.yaml describes it. It
// settles who asks for what, and puts it into the terms of package herald.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/census"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/service"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// maxBody is the size in bytes that a request's body may have.
const maxBody = 16 << 10

// Store is where the notifications are. See package postgres for what each
// operation does, and with which errors of package herald it is refused.
type Store interface {
	Claim(ctx context.Context, r herald.Request, key string) (herald.Claim, *herald.Notification, error)
	Create(ctx context.Context, claim herald.Claim) (*herald.Notification, error)
	Release(ctx context.Context, claim herald.Claim) error
	Notification(ctx context.Context, creator string, id uuid.UUID) (*herald.Notification, error)
}

// Deliveries is what delivers the notifications.
type Deliveries interface {
	// Accept does what [Store.Create] does, and delivers the notification at once where it can, to
	// the recipient that Census answered when it was asked.
	Accept(
		ctx context.Context, claim herald.Claim, recipient herald.Recipient, asked time.Time,
	) (*herald.Notification, error)
}

// Config is what New needs; every field is required but where it says otherwise.
type Config struct {
	// URL is Herald's own name, under which the notifications' URIs lie.
	URL string
	// CensusURL is Census's name, under which the users' URIs lie.
	CensusURL string
	// Store is where the notifications are.
	Store Store
	// Census is asked whether the creator may see the user.
	Census *census.Client
	// Deliveries accepts the notifications whose recipient is known. It may be nil: Store does then.
	Deliveries Deliveries
	// Backlog is the notifications that are not delivered yet. While it lags, fewer are accepted. It
	// may be nil.
	Backlog httpserve.Backlog
	// Verifier verifies the calls of all routes under /notification/. Its audience is URL.
	Verifier *svcauth.Verifier
	// Keys are what Herald signs with; their public halves are published.
	Keys keys.Signing
	// Logger gets a line for each notification, each refusal and each failure.
	Logger *slog.Logger
}

type server struct {
	Config
}

// New returns the handler of Herald's public listener.
func New(c Config) *chi.Mux {
	s := &server{c}
	api := httpjson.NewAdapter(c.Logger, statuses)

	r := chi.NewRouter()
	r.NotFound(api.NotFound)
	r.MethodNotAllowed(api.MethodNotAllowed)
	r.Use(middleware.GetHead, httpserve.LimitTime(requestTime))

	r.Get("/openapi.yaml", httpserve.ServeText("application/yaml", herald.OpenAPI))
	r.Method(http.MethodGet, "/"+keys.JWKSPath, keys.Handler(c.Keys))
	verified := func(a *httpserve.Admission) chi.Router {
		return r.With(service.Authenticated(c.Verifier, a, maxBody, c.Logger)...)
	}
	writes := verified(httpserve.NewAdmission(httpserve.AdmissionConfig{Name: "writes", Backlog: c.Backlog, Logger: c.Logger}))
	writes.Post("/notification/", api.Handle(s.createNotification))
	reads := verified(httpserve.NewAdmission(httpserve.AdmissionConfig{Name: "reads", Logger: c.Logger}))
	reads.Get("/notification/{id}/", api.Handle(s.getNotification))
	return r
}

// statuses says what the client is told of each error of the domain and of the
// storage.
var statuses = []httpjson.ErrorStatus{
	{Err: herald.ErrForbidden, Problem: *httpjson.NewProblem(http.StatusForbidden, "forbidden",
		"the user in whose name the call is made may not see the user to be notified")},
	{Err: herald.ErrUserNotFound, Problem: *httpjson.InvalidFields(
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
