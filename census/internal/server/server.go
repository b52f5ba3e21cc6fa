// Package server is Census's API over HTTP, as openapi.yaml describes it. It finds the acting user
// of a call. The storage checks the rights of this user.
package server

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"example.com/micromachine/census"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/service"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// maxBody is the largest size of a request's body, in bytes.
const maxBody = 16 << 10

// The bounds of the limit on concurrent requests. A single Herald may have 356 requests in flight:
// 256 for notifications that it accepts and 100 for those that it delivers.
const (
	minInFlight = 384
	maxInFlight = 512
)

// Store is where the users are. Its operations are refused with the errors of
// package census; see package postgres for what each does.
type Store interface {
	User(ctx context.Context, actor census.Actor, id int64) (census.User, error)
	Users(ctx context.Context, actor census.Actor, query census.Query) (census.Page, error)
	CreateUser(ctx context.Context, actor census.Actor, user census.User) (census.User, error)
	UpdateUser(ctx context.Context, actor census.Actor, id int64, update census.Update) (census.User, error)
	DeleteUser(ctx context.Context, actor census.Actor, id int64) error
	AddViewer(ctx context.Context, actor census.Actor, id, viewer int64) error
	RemoveViewer(ctx context.Context, actor census.Actor, id, viewer int64) error
}

// Config is what New needs; every field is required.
type Config struct {
	// URL is Census's own name, under which the users' URIs lie.
	URL census.BaseURL
	// Store is where the users are.
	Store Store
	// Verifier verifies the calls of all routes under /user/. Its audience is URL.
	Verifier *svcauth.Verifier
	// Keys are what Census signs with; their public halves are published.
	Keys keys.Signing
	// Logger gets a line for each change, each refusal and each failure.
	Logger *slog.Logger
}

type server struct {
	url   census.BaseURL
	store Store
}

// New returns the handler of Census's public listener.
func New(c Config) *chi.Mux {
	s := &server{url: c.URL, store: c.Store}
	api := httpjson.NewAdapter(c.Logger, statuses)
	handle := func(h httpjson.Handler) http.HandlerFunc { return api.Handle(renderInvalid(h)) }

	r := chi.NewRouter()
	r.NotFound(api.NotFound)
	r.MethodNotAllowed(api.MethodNotAllowed)
	r.Use(middleware.GetHead, httpserve.LimitTime(requestTime))

	r.Get("/openapi.yaml", httpserve.ServeText("application/yaml", census.OpenAPI))
	r.Method(http.MethodGet, "/"+keys.JWKSPath, keys.Handler(c.Keys))
	admission := httpserve.NewAdmission(httpserve.AdmissionConfig{
		Name: "all", MinLimit: minInFlight, MaxLimit: maxInFlight, Logger: c.Logger,
	})
	r.Group(func(r chi.Router) {
		r.Use(service.Authenticated(c.Verifier, admission, maxBody, c.Logger)...)
		r.Get("/user/", handle(s.listUsers))
		r.Post("/user/", handle(s.createUser))
		r.Get("/user/{id}/", handle(s.getUser))
		r.Patch("/user/{id}/", handle(s.updateUser))
		r.Delete("/user/{id}/", handle(s.deleteUser))
		r.Put("/user/{id}/viewer/{viewer}/", handle(s.addViewer))
		r.Delete("/user/{id}/viewer/{viewer}/", handle(s.removeViewer))
	})
	return r
}

// statuses says what the client is told of each error of the domain and of the
// storage.
var statuses = []httpjson.ErrorStatus{
	{Err: census.ErrForbidden, Problem: *httpjson.NewProblem(http.StatusForbidden, "forbidden",
		"the user in whose name the call is made may not do this, or there is no such user")},
	{Err: census.ErrNotFound, Problem: *httpjson.NewProblem(http.StatusNotFound, "user-not-found",
		"there is no such user")},
	{Err: census.ErrViewerNotFound, Problem: *httpjson.NewProblem(http.StatusUnprocessableEntity, "viewer-not-found",
		"there is no such user to be made a viewer")},
	{Err: census.ErrEmailTaken, Problem: *httpjson.NewProblem(http.StatusConflict, "email-taken",
		"another user has this mail address")},
	{Match: database.Unavailable, Problem: *httpjson.Unavailable("the database is not available")},
}
