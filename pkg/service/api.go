package service

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// API is what a service's handler of the public listener needs for its routes. [Runtime.API]
// returns the one of a running service. All fields are required.
type API struct {
	// URL is the service's own name.
	URL string
	// Verifier verifies the calls of all routes that need a token. Its audience is URL.
	Verifier *svcauth.Verifier
	// Keys are the service's own keys. Their public halves are published.
	Keys keys.Signing
	// Logger logs changes, refusals and failures.
	Logger *slog.Logger
}

// API returns the service's API.
func (rt *Runtime) API() API {
	return API{URL: rt.Settings.URL, Verifier: rt.Verifier, Keys: rt.Keys, Logger: rt.Logger}
}

// NewRouter returns a router with the routes that every service has, /openapi.yaml and the public
// keys, and the adapter of its other routes. A request ends after limit. Unknown paths and methods
// are answered with a problem. A route of GET also answers HEAD.
func (a API) NewRouter(
	openAPI string, statuses []httpjson.ErrorStatus, limit time.Duration,
) (*chi.Mux, *httpjson.Adapter) {
	adapter := httpjson.NewAdapter(a.Logger, statuses)
	r := chi.NewRouter()
	r.NotFound(adapter.NotFound)
	r.MethodNotAllowed(adapter.MethodNotAllowed)
	r.Use(middleware.GetHead, httpserve.LimitTime(limit))
	r.Get("/openapi.yaml", httpserve.ServeText("application/yaml", openAPI))
	r.Method(http.MethodGet, "/"+keys.JWKSPath, keys.Handler(a.Keys))
	return r, adapter
}

// Authenticated returns the router for those routes of r that only verified calls may use. Calls of
// these routes are limited together, as c says; its Logger is set. A body has at most maxBody bytes.
// Changes and refusals are logged.
func (a API) Authenticated(r chi.Router, c httpserve.AdmissionConfig, maxBody int64) chi.Router {
	c.Logger = a.Logger
	return r.With(middlewares(a.Verifier, httpserve.NewAdmission(c), maxBody, a.Logger)...)
}
