package httpjson

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/go-chi/chi/v5"

	"example.com/micromachine/pkg/logsafe"
)

// A Handler responds to a request or returns an error, which the [Adapter] turns into a response.
// An error that is returned after the response has started is only logged.
type Handler func(w http.ResponseWriter, r *http.Request) error

// An ErrorStatus maps the errors of handlers to a problem. It applies to errors that wrap Err, or
// for which Match returns true.
type ErrorStatus struct {
	Err     error
	Match   func(error) bool // replaces Err, for a class of errors
	Problem Problem
}

func (s ErrorStatus) matches(err error) bool {
	if s.Match != nil {
		return s.Match(err)
	}
	return errors.Is(err, s.Err)
}

// An Adapter turns Handlers into http.Handlers, and their errors into problem details. A [*Problem]
// is sent as it is. Any other error becomes the problem of the first matching [ErrorStatus], or
// else a plain 500. The cause of a 5xx is logged and never sent. A 503 has a Retry-After header. An
// Adapter is safe for concurrent use.
type Adapter struct {
	log      *slog.Logger
	statuses []ErrorStatus
}

// NewAdapter returns an Adapter with a table of errors. It logs to log through package logsafe.
func NewAdapter(log *slog.Logger, statuses []ErrorStatus) *Adapter {
	return &Adapter{log: slog.New(logsafe.NewHandler(log.Handler())), statuses: statuses}
}

// Handle returns an [http.HandlerFunc] that calls h. When h panics, it responds with 500 and logs
// the stack. A panic with [http.ErrAbortHandler] is passed on.
func (a *Adapter) Handle(h Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := &response{ResponseWriter: w}
		defer a.recoverPanic(answer, r)
		if err := h(answer, r); err != nil {
			a.sendError(answer, r, err)
		}
	}
}

// NotFound responds with a 404 problem. It is for [chi.Router.NotFound].
func (a *Adapter) NotFound(w http.ResponseWriter, r *http.Request) {
	a.send(w, r, NewProblem(http.StatusNotFound, "not-found", ""))
}

// MethodNotAllowed responds with a 405 problem and the Allow header that RFC 9110 section 15.5.6
// requires. It is for [chi.Router.MethodNotAllowed].
func (a *Adapter) MethodNotAllowed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", strings.Join(allowedMethods(r), ", "))
	a.send(w, r, NewProblem(http.StatusMethodNotAllowed, "method-not-allowed", ""))
}

// allowedMethods matches the path against each method, because chi does not export the methods that
// it found.
func allowedMethods(r *http.Request) []string {
	routing := chi.RouteContext(r.Context())
	if routing == nil || routing.Routes == nil {
		return nil
	}
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	var methods []string
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions,
	} {
		if routing.Routes.Match(chi.NewRouteContext(), method, path) {
			methods = append(methods, method)
		}
	}
	return methods
}

func (a *Adapter) sendError(w *response, r *http.Request, err error) {
	if w.started {
		a.log.LogAttrs(r.Context(), slog.LevelError, "answer cut short", requestAttrs(r, err))
		return
	}
	a.send(w, r, a.problem(r, err))
}

// problem returns the problem to send for err, and logs the cause if the problem does not contain
// it.
func (a *Adapter) problem(r *http.Request, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	// The client has closed the connection. This is no failure of the service.
	if ended := r.Context().Err(); errors.Is(ended, context.Canceled) && errors.Is(err, ended) {
		a.log.LogAttrs(r.Context(), slog.LevelInfo, "request ended before its answer", requestAttrs(r, err))
		return requestEnded()
	}
	for _, s := range a.statuses {
		if !s.matches(err) {
			continue
		}
		switch {
		case s.Problem.Status == http.StatusServiceUnavailable:
			a.log.LogAttrs(r.Context(), slog.LevelWarn, "request failed", requestAttrs(r, err))
		case s.Problem.Status >= http.StatusInternalServerError:
			a.log.LogAttrs(r.Context(), slog.LevelError, "request failed", requestAttrs(r, err))
		}
		return &s.Problem
	}
	// The request's time limit has ended. This is no fault in the service.
	if ended := r.Context().Err(); ended != nil && errors.Is(err, ended) {
		a.log.LogAttrs(r.Context(), slog.LevelWarn, "request ended before its answer", requestAttrs(r, err))
		return requestEnded()
	}
	a.log.LogAttrs(r.Context(), slog.LevelError, "request failed", requestAttrs(r, err))
	return internalError()
}

func requestEnded() *Problem {
	return Unavailable("the request ended before its answer")
}

func (a *Adapter) recoverPanic(w *response, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	stack := strings.Split(string(debug.Stack()), "\n")
	a.log.LogAttrs(r.Context(), slog.LevelError, "handler panicked",
		requestAttrs(r, fmt.Errorf("%v", cause)), slog.Any("stack", stack))
	if w.started {
		// The response is incomplete. Aborting the connection tells the client so.
		panic(http.ErrAbortHandler)
	}
	a.send(w, r, internalError())
}

func internalError() *Problem {
	return NewProblem(http.StatusInternalServerError, "internal", "")
}

func (a *Adapter) send(w http.ResponseWriter, r *http.Request, p *Problem) {
	if err := p.Write(w); err != nil {
		a.log.LogAttrs(r.Context(), slog.LevelInfo, "problem not sent", requestAttrs(r, err))
	}
}

// requestAttrs returns the log attributes of a request. They do not include the query, which may
// contain a mail address.
func requestAttrs(r *http.Request, err error) slog.Attr {
	return slog.Group("",
		slog.String("method", logsafe.Text(r.Method)), slog.String("path", LoggedPath(r)), slog.Any("error", err))
}

// LoggedPath returns the path of a request, cleaned by [logsafe.Text].
func LoggedPath(r *http.Request) string { return logsafe.Text(r.URL.Path) }

// A response records whether the handler has started to respond.
type response struct {
	http.ResponseWriter
	started bool
}

// WriteHeader implements [http.ResponseWriter]. An informational status (1xx) does not start the
// response.
func (w *response) WriteHeader(status int) {
	w.started = w.started || status >= 200
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *response) Write(b []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(b)
}

// Unwrap returns the underlying writer to [http.ResponseController].
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
