package httpserve_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
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
	httpserve.NoStore(say("hello")).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
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

func TestAudit(t *testing.T) {
	t.Parallel()
	const census, user = "https://census.service/", "https://census.service/user/21/"
	shop := svcauthtest.NewIssuer(t, "https://shop.service/")
	verifier := svcauthtest.NewVerifier(t, census, svcauthtest.Trust{
		Issuer: shop, Allow: []string{"GET /user/", "POST /user/"}, ActFor: []string{census + "user/*"},
	})
	for _, test := range []struct {
		method string
		status int
		logged bool
	}{
		{http.MethodGet, http.StatusOK, false},
		{http.MethodHead, http.StatusOK, false},
		{http.MethodGet, http.StatusForbidden, true},
		{http.MethodPost, http.StatusCreated, true},
		{http.MethodPost, http.StatusConflict, true},
	} {
		var log bytes.Buffer
		audit := httpserve.Audit(slog.New(slog.NewJSONHandler(&log, nil)))
		handler := verifier.Require(0)(audit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/user/42/")
			w.WriteHeader(test.status)
		})))
		r := httptest.NewRequest(test.method, census+"user/", http.NoBody)
		shop.Sign(t, r, census, user)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Fatalf("%s: status %d, want %d: %s", test.method, w.Code, test.status, w.Body)
		}
		if !test.logged {
			if log.Len() > 0 {
				t.Errorf("%s, %d: logged %s", test.method, test.status, &log)
			}
			continue
		}
		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatalf("%s, %d: %v in %q", test.method, test.status, err, &log)
		}
		for name, want := range map[string]any{
			"method": test.method, "path": "/user/", "status": float64(test.status), "location": "/user/42/",
			"caller": "https://shop.service/", "subject": user,
		} {
			if line[name] != want {
				t.Errorf("%s, %d: %s is %v, want %v", test.method, test.status, name, line[name], want)
			}
		}
	}
}

// What callers choose reaches the log without mail addresses and without control characters.
func TestAuditCleansText(t *testing.T) {
	t.Parallel()
	const census = "https://census.service/"
	shop := svcauthtest.NewIssuer(t, "https://shop.service/")
	verifier := svcauthtest.NewVerifier(t, census, svcauthtest.Trust{
		Issuer: shop, Allow: []string{"GET /user/*"}, ActFor: []string{census + "user/*"},
	})
	for _, id := range []string{"jane.doe@example.com", "jane.doe%2540example.com", "jane.doe%25252540example.com"} {
		var log bytes.Buffer
		audit := httpserve.Audit(slog.New(slog.NewJSONHandler(&log, nil)))
		handler := verifier.Require(0)(audit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		})))
		r := httptest.NewRequest(http.MethodGet, census+"user/"+id, http.NoBody)
		shop.Sign(t, r, census, svcauth.Subject(census+"user/"+id))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || !strings.Contains(log.String(), "(with an @)") || strings.Contains(log.String(), "jane") {
			t.Errorf("%s: status %d, log %s", id, w.Code, &log)
		}
	}
}
