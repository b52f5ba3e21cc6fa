package httpjson_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"example.com/micromachine/pkg/httpjson"
)

var (
	errMissing = errors.New("missing")
	errDown    = errors.New("down")
)

var statuses = []httpjson.ErrorStatus{
	{Err: errMissing, Problem: *httpjson.NewProblem(http.StatusNotFound, "thing-not-found", "no such thing")},
	{Err: errDown, Problem: *httpjson.NewProblem(http.StatusServiceUnavailable, "unavailable", "")},
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve calls h with r and returns the response and the log.
func serve(h httpjson.Handler, r *http.Request) (*httptest.ResponseRecorder, string) {
	var log bytes.Buffer
	w := httptest.NewRecorder()
	httpjson.NewAdapter(slog.New(slog.NewTextHandler(&log, nil)), statuses).Handle(h)(w, r)
	return w, log.String()
}

func failing(err error) httpjson.Handler {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func TestHandleErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		err      error
		want     string // the whole body
		inTheLog string // empty: nothing is logged
	}{
		{
			"problem", httpjson.NewProblem(http.StatusConflict, "taken", "it is taken"),
			`{"type":"urn:micromachine:problem:taken","title":"Conflict","status":409,"detail":"it is taken"}`, "",
		},
		{
			"wrapped problem",
			fmt.Errorf("storing: %w", httpjson.InvalidFields(httpjson.FieldError{Field: "/user", Detail: "is <b>"})),
			`{"type":"urn:micromachine:problem:invalid-field","title":"Unprocessable Entity",` +
				`"status":422,"errors":[{"field":"/user","detail":"is <b>"}]}`, "",
		},
		{
			"in the table", fmt.Errorf("looking up: %w", errMissing),
			`{"type":"urn:micromachine:problem:thing-not-found","title":"Not Found","status":404,"detail":"no such thing"}`, "",
		},
		{
			"in the table, 503", fmt.Errorf("asking 10.0.0.1: %w", errDown),
			`{"type":"urn:micromachine:problem:unavailable","title":"Service Unavailable","status":503}`,
			"asking 10.0.0.1: down",
		},
		{
			"unforeseen", errors.New("secret cause"),
			`{"type":"urn:micromachine:problem:internal","title":"Internal Server Error","status":500}`, "secret cause",
		},
		{
			"cancelled, but not by the client", context.Canceled,
			`{"type":"urn:micromachine:problem:internal","title":"Internal Server Error","status":500}`, "context canceled",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, log := serve(failing(test.err), httptest.NewRequest(http.MethodGet, "/thing/?email=a@example.com", http.NoBody))
			if got := strings.TrimSpace(w.Body.String()); got != test.want {
				t.Errorf("body\n%s\nwant\n%s", got, test.want)
			}
			var p httpjson.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code {
				t.Errorf("status %d, body says %d (%v)", w.Code, p.Status, err)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q", got)
			}
			if test.inTheLog == "" && log != "" || !strings.Contains(log, test.inTheLog) {
				t.Errorf("log %q, want %q in it", log, test.inTheLog)
			}
			if strings.Contains(log, "email") {
				t.Errorf("log %q holds the query", log)
			}
		})
	}
}

func TestHandleClientGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
	w, log := serve(failing(fmt.Errorf("querying: %w", ctx.Err())), r)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", w.Code)
	}
	if strings.Contains(log, "ERROR") {
		t.Errorf("a client that left is logged as an error: %s", log)
	}
}

func TestHandlePanic(t *testing.T) {
	t.Parallel()
	w, log := serve(func(http.ResponseWriter, *http.Request) error { panic("secret cause") },
		httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log, "secret cause") || !strings.Contains(log, "adapter_test.go") {
		t.Errorf("log %q lacks cause or stack", log)
	}
}

func TestHandleAbort(t *testing.T) {
	t.Parallel()
	defer func() {
		if cause := recover(); !isAbort(cause) {
			t.Errorf("recovered %v, want http.ErrAbortHandler", cause)
		}
	}()
	serve(func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) },
		httptest.NewRequest(http.MethodGet, "/", http.NoBody))
}

func isAbort(cause any) bool {
	err, ok := cause.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// After a response has started, an error must not be appended to it, and a panic must abort the
// connection.
func TestHandleAnswerBegun(t *testing.T) {
	t.Parallel()
	begin := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusOK)
		fmt.Fprint(w, "half")
	}
	t.Run("error", func(t *testing.T) {
		t.Parallel()
		w, log := serve(func(w http.ResponseWriter, _ *http.Request) error {
			begin(w)
			return errors.New("later")
		}, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		if w.Code != http.StatusOK || w.Body.String() != "half" {
			t.Errorf("answer %d %q", w.Code, w.Body)
		}
		if !strings.Contains(log, "later") {
			t.Errorf("log %q", log)
		}
	})
	t.Run("panic", func(t *testing.T) {
		t.Parallel()
		api := httpjson.NewAdapter(quiet(), nil)
		server := httptest.NewServer(api.Handle(func(w http.ResponseWriter, _ *http.Request) error {
			begin(w)
			http.NewResponseController(w).Flush()
			panic("later")
		}))
		t.Cleanup(server.Close)
		res, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("half an answer was read as a whole one: %q", body)
		}
	})
	t.Run("informational", func(t *testing.T) {
		t.Parallel()
		w, _ := serve(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusEarlyHints)
			return errMissing
		}, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		if !strings.Contains(w.Body.String(), "thing-not-found") {
			t.Errorf("after a 1xx the error was not answered: %q", w.Body)
		}
	})
}

func TestRouting(t *testing.T) {
	t.Parallel()
	api := httpjson.NewAdapter(quiet(), nil)
	ok := api.Handle(func(w http.ResponseWriter, _ *http.Request) error {
		return httpjson.Write(w, http.StatusOK, "ok")
	})
	router := chi.NewRouter()
	router.NotFound(api.NotFound)
	router.MethodNotAllowed(api.MethodNotAllowed)
	router.Get("/user/{id}/", ok)
	router.Delete("/user/{id}/", ok)
	router.Route("/admin", func(r chi.Router) { r.Post("/thing/", ok) })
	for _, test := range []struct {
		method, path string
		status       int
		problemType  string
		allow        string
	}{
		{"GET", "/user/42/", 200, "", ""},
		{"GET", "/user/42", 404, "not-found", ""},
		{"PATCH", "/user/42/", 405, "method-not-allowed", "GET, DELETE"},
		{"GET", "/admin/thing/", 405, "method-not-allowed", "POST"},
		{"PATCH", "/user/4%2F2/", 405, "method-not-allowed", "GET, DELETE"},
	} {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequest(test.method, test.path, http.NoBody))
		if w.Code != test.status || w.Header().Get("Allow") != test.allow {
			t.Errorf("%s %s: %d, Allow %q; want %d, %q",
				test.method, test.path, w.Code, w.Header().Get("Allow"), test.status, test.allow)
		}
		if test.problemType != "" && !strings.Contains(w.Body.String(), `"urn:micromachine:problem:`+test.problemType+`"`) {
			t.Errorf("%s %s: %s", test.method, test.path, w.Body)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	if err := httpjson.Write(w, http.StatusCreated, map[string]string{"uri": "https://x/?a&b"}); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusCreated || w.Body.String() != `{"uri":"https://x/?a&b"}`+"\n" {
		t.Errorf("answer %d %q", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Content-Length": fmt.Sprint(w.Body.Len()),
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestWriteUnencodable(t *testing.T) {
	t.Parallel()
	w, log := serve(func(w http.ResponseWriter, _ *http.Request) error {
		return httpjson.Write(w, http.StatusOK, make(chan int))
	}, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if w.Code != http.StatusInternalServerError || !strings.Contains(log, "encoding answer") {
		t.Errorf("answer %d, log %q", w.Code, log)
	}
}

// A logged path contains nothing that looks like a mail address.
func TestLoggedPath(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/user/42/":                   "/user/42/",
		"/user/jane.doe@example.com/": "/user/(with an @)/",
		"/user/jane%40example.com":    "/user/(with an @)",
	} {
		if got := httpjson.LoggedPath(httptest.NewRequest(http.MethodGet, target, http.NoBody)); got != want {
			t.Errorf("%s is logged as %s, want %s", target, got, want)
		}
	}
}
