package httpserve_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpserve"
)

func TestLimitTime(t *testing.T) {
	t.Parallel()
	ended := false
	handler := httpserve.LimitTime(time.Millisecond)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			ended = true
		case <-time.After(10 * time.Second):
		}
	}))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if !ended {
		t.Error("the request's context did not end")
	}
}

func TestNoStore(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	httpserve.NoStore(textHandler("hello")).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if got := w.Header().Get("Cache-Control"); got != "no-store" || w.Body.String() != "hello" {
		t.Errorf("Cache-Control %q, body %q", got, w.Body)
	}
}

func TestServeText(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	httpserve.ServeText("application/yaml", "openapi: 3.1.0")(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Header().Get("Content-Type") != "application/yaml" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", w.Header())
	}
	if w.Body.String() != "openapi: 3.1.0" {
		t.Errorf("body %q", w.Body)
	}
}
