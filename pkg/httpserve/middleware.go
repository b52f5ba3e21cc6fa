package httpserve

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/logsafe"
)

// LimitTime returns a middleware that ends a request's context after d.
func LimitTime(d time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), d)
			defer cancel()
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// NoStore is a middleware that keeps answers out of caches, because caches do not know that the
// answers depend on the token.
func NoStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// Identify returns the caller of a request, which is a service, and the subject on whose behalf it
// calls.
type Identify func(ctx context.Context) (caller, subject string)

// Audit returns a middleware that logs each change and each refusal: the caller, the subject, the
// request and the status. Successful reads, which are most requests, are not logged. It stands
// behind the authentication, which provides the identities. Text that callers choose passes through
// package logsafe.
func Audit(log *slog.Logger, identify Identify) func(http.Handler) http.Handler {
	log = slog.New(logsafe.NewHandler(log.Handler()))
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			next.ServeHTTP(answer, r)
			reading := r.Method == http.MethodGet || r.Method == http.MethodHead
			if reading && answer.Status() < http.StatusBadRequest {
				return
			}
			caller, subject := identify(r.Context())
			log.InfoContext(r.Context(), "request", "method", logsafe.Text(r.Method), "path", httpjson.LoggedPath(r),
				"status", answer.Status(), "location", answer.Header().Get("Location"), "caller", logsafe.Text(caller),
				"subject", logsafe.Text(subject))
		})
	}
}

// ServeText returns a handler that answers with a constant text, such as the description of an API.
func ServeText(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = io.WriteString(w, text) // an error means that the client has gone
	}
}
