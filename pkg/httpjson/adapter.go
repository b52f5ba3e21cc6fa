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

// Handler answers a request or returns an error; an error is answered by the
// Adapter. A handler that has begun its answer can no longer choose another:
// its error is then only logged.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ErrorStatus says which problem the client is told of when a handler returns
// Err, an error that wraps it, or one that Match reports true for.
type ErrorStatus struct {
	Err     error
	Match   func(error) bool // in place of Err, for a whole class of errors
	Problem Problem
}

func (s ErrorStatus) matches(err error) bool {
	if s.Match != nil {
		return s.Match(err)
	}
	return errors.Is(err, s.Err)
}

// Adapter turns Handlers into http.Handlers. Its errors become problem details
// in this order: a *Problem is sent as it is, then the first matching entry of
// the table, else a plain 500. The cause of a 5xx is logged and never sent. A
// 503 carries Retry-After.
// It is safe for concurrent use.
type Adapter struct {
	log      *slog.Logger
	statuses []ErrorStatus
}

// NewAdapter makes an Adapter that maps errors by statuses. It logs to log, by way of package logsafe.
func NewAdapter(log *slog.Logger, statuses []ErrorStatus) *Adapter {
	return &Adapter{log: slog.New(logsafe.NewHandler(log.Handler())), statuses: statuses}
}

// Handle makes an http.HandlerFunc of h. A panic of h is answered with 500 and
// logged with its stack; http.ErrAbortHandler keeps its meaning.
func (a *Adapter) Handle(h Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := &response{ResponseWriter: w}
		defer a.rescue(answer, r)
		if err := h(answer, r); err != nil {
			a.fail(answer, r, err)
		}
	}
}

// NotFound answers 404 as problem+json. It is for chi's Router.NotFound.
func (a *Adapter) NotFound(w http.ResponseWriter, r *http.Request) {
	a.send(w, r, NewProblem(http.StatusNotFound, "not-found", ""))
}

// MethodNotAllowed answers 405 as problem+json, with the Allow header that
// RFC 9110 section 15.5.6 requires. It is for chi's Router.MethodNotAllowed.
func (a *Adapter) MethodNotAllowed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", strings.Join(allowed(r), ", "))
	a.send(w, r, NewProblem(http.StatusMethodNotAllowed, "method-not-allowed", ""))
}

// allowed asks the router anew: chi keeps the methods it found to itself.
func allowed(r *http.Request) []string {
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

func (a *Adapter) fail(w *response, r *http.Request, err error) {
	if w.begun {
		a.log.LogAttrs(r.Context(), slog.LevelError, "answer cut short", about(r, err))
		return
	}
	a.send(w, r, a.problem(r, err))
}

// problem chooses what the client is told of err, and logs what it is not told.
func (a *Adapter) problem(r *http.Request, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	// Nobody's fault: the client left.
	if ended := r.Context().Err(); errors.Is(ended, context.Canceled) && errors.Is(err, ended) {
		a.log.LogAttrs(r.Context(), slog.LevelInfo, "request ended before its answer", about(r, err))
		return unanswered()
	}
	for _, s := range a.statuses {
		if !s.matches(err) {
			continue
		}
		switch {
		case s.Problem.Status == http.StatusServiceUnavailable:
			a.log.LogAttrs(r.Context(), slog.LevelWarn, "request failed", about(r, err))
		case s.Problem.Status >= http.StatusInternalServerError:
			a.log.LogAttrs(r.Context(), slog.LevelError, "request failed", about(r, err))
		}
		return &s.Problem
	}
	// Not a fault of ours: something took longer than the request's time.
	if ended := r.Context().Err(); ended != nil && errors.Is(err, ended) {
		a.log.LogAttrs(r.Context(), slog.LevelWarn, "request ended before its answer", about(r, err))
		return unanswered()
	}
	a.log.LogAttrs(r.Context(), slog.LevelError, "request failed", about(r, err))
	return internal()
}

func unanswered() *Problem {
	return Unavailable("the request ended before its answer")
}

func (a *Adapter) rescue(w *response, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	stack := strings.Split(string(debug.Stack()), "\n")
	a.log.LogAttrs(r.Context(), slog.LevelError, "handler panicked", about(r, fmt.Errorf("%v", cause)), slog.Any("stack", stack))
	if w.begun {
		// What was sent is half an answer: the connection must not end as
		// if it were a whole one.
		panic(http.ErrAbortHandler)
	}
	a.send(w, r, internal())
}

func internal() *Problem {
	return NewProblem(http.StatusInternalServerError, "internal", "")
}

func (a *Adapter) send(w http.ResponseWriter, r *http.Request, p *Problem) {
	if err := p.Write(w); err != nil {
		a.log.LogAttrs(r.Context(), slog.LevelInfo, "problem not sent", about(r, err))
	}
}

// about is what the log says of a request. It leaves out the query, which may
// hold a mail address.
func about(r *http.Request, err error) slog.Attr {
	return slog.Group("", slog.String("method", logsafe.Text(r.Method)), slog.String("path", LoggedPath(r)), slog.Any("error", err))
}

// LoggedPath returns a request's path as a log may have it, see [logsafe.Text].
func LoggedPath(r *http.Request) string { return logsafe.Text(r.URL.Path) }

// response remembers whether an answer has begun.
type response struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader passes the status on. An informational one (1xx) is no beginning
// of the answer.
func (w *response) WriteHeader(status int) {
	w.begun = w.begun || status >= 200
	w.ResponseWriter.WriteHeader(status)
}

// Write passes the bytes on.
func (w *response) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
