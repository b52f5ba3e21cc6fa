// Package server is Journal's API over HTTP, as openapi.yaml describes it.
package server

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/scaffold/journal"
	"example.com/micromachine/pkg/service"
)

// The limits of a request: the size of its body, in bytes, and its time.
const maxBody, timeLimit = 16 << 10, 8 * time.Second

// Store stores the entries. See package postgres.
type Store interface {
	CreateEntry(ctx context.Context, entry journal.Entry) (journal.Entry, error)
	Entry(ctx context.Context, owner string, id uuid.UUID) (journal.Entry, error)
}

// Config configures [New]. All fields are required.
type Config struct {
	// API is what all services have in common. The URIs of the entries begin with its URL.
	API service.API
	// Store stores the entries.
	Store Store
	// Census is asked whether the owner of a new entry may see the user.
	Census *censusclient.Client
}

type server struct{ Config }

// New returns the handler of Journal's public listener.
func New(c Config) *chi.Mux {
	s := &server{c}
	r, adapter := c.API.NewRouter(journal.OpenAPI, append(censusclient.Problems(), problems...), timeLimit)
	verified := c.API.Authenticated(r, httpserve.AdmissionConfig{Name: "all"}, maxBody)
	verified.Post("/entry/", adapter.Handle(s.createEntry))
	verified.Get("/entry/{id}/", adapter.Handle(s.getEntry))
	return r
}

// problems maps the errors of the domain and of the storage to responses.
var problems = []httpjson.ErrorStatus{
	{Err: journal.ErrNotFound, Problem: *httpjson.NewProblem(http.StatusNotFound, "entry-not-found",
		"the entry does not exist or belongs to another owner")},
	{Match: database.Unavailable, Problem: *httpjson.Unavailable("the database is not available")},
}
