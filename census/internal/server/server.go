// Package server is Census's API over HTTP, as openapi.yaml describes it. It finds the acting user
// of a call. The storage checks the rights of this user.
package server

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	"example.com/micromachine/census"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/service"
)

// maxBody is the largest size of a request's body, in bytes.
const maxBody = 16 << 10

// The bounds of the limit on concurrent requests. A single Herald may have 356 requests in flight:
// 256 for notifications that it accepts and 100 for those that it delivers.
const (
	minInFlight = 384
	maxInFlight = 512
)

// Store stores the users. Its operations return the errors of package census. See package postgres.
type Store interface {
	User(ctx context.Context, actor census.Actor, id int64) (census.User, error)
	Users(ctx context.Context, actor census.Actor, query census.Query) (census.Page, error)
	CreateUser(ctx context.Context, actor census.Actor, user census.User) (census.User, error)
	UpdateUser(ctx context.Context, actor census.Actor, id int64, update census.Update) (census.User, error)
	DeleteUser(ctx context.Context, actor census.Actor, id int64) error
	AddViewer(ctx context.Context, actor census.Actor, id, viewer int64) error
	RemoveViewer(ctx context.Context, actor census.Actor, id, viewer int64) error
}

// Config configures [New]. All fields are required.
type Config struct {
	// API is what all services have in common. The URIs of the users begin with its URL.
	API service.API
	// Store stores the users.
	Store Store
}

type server struct {
	url   census.BaseURL
	store Store
}

// New returns the handler of Census's public listener.
func New(c Config) *chi.Mux {
	s := &server{url: census.BaseURL(c.API.URL), store: c.Store}
	r, adapter := c.API.NewRouter(census.OpenAPI, statuses, requestTime)
	handle := func(h httpjson.Handler) http.HandlerFunc { return adapter.Handle(renderInvalid(h)) }
	verified := c.API.Authenticated(r, httpserve.AdmissionConfig{
		Name: "all", MinLimit: minInFlight, MaxLimit: maxInFlight,
	}, maxBody)
	verified.Get("/user/", handle(s.listUsers))
	verified.Post("/user/", handle(s.createUser))
	verified.Get("/user/{id}/", handle(s.getUser))
	verified.Patch("/user/{id}/", handle(s.updateUser))
	verified.Delete("/user/{id}/", handle(s.deleteUser))
	verified.Put("/user/{id}/viewer/{viewer}/", handle(s.addViewer))
	verified.Delete("/user/{id}/viewer/{viewer}/", handle(s.removeViewer))
	return r
}

// statuses maps the errors of the domain and of the storage to responses.
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
