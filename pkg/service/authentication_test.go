package service_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/service"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// authenticated returns a handler behind the middlewares of package service.
func authenticated(verifier *svcauth.Verifier, log io.Writer, handler http.Handler) http.Handler {
	admission := httpserve.NewAdmission(httpserve.AdmissionConfig{})
	middlewares := service.Middlewares(verifier, admission, 0, slog.New(slog.NewJSONHandler(log, nil)))
	for _, m := range slices.Backward(middlewares) {
		handler = m(handler)
	}
	return handler
}

// An issuer's own calls and the users of its session tokens have a share of a limit each.
func TestSharer(t *testing.T) {
	t.Parallel()
	const portal, shop = "https://portal.service/", "https://shop.service/"
	shares := map[string]bool{}
	for _, caller := range []svcauth.Caller{
		{Issuer: portal}, {Issuer: portal, Admin: true}, {Issuer: portal, Session: true}, {Issuer: shop}, {Issuer: shop, Session: true},
	} {
		shares[service.Sharer(caller)] = true
	}
	if len(shares) != 4 {
		t.Errorf("the shares are %v, want 4", shares)
	}
}

// Changes and refusals are logged with the caller and the subject, and successful reads are not.
func TestAuthenticatedLogs(t *testing.T) {
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
		handler := authenticated(verifier, &log, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/user/42/")
			w.WriteHeader(test.status)
		}))
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
func TestAuthenticatedCleansLog(t *testing.T) {
	t.Parallel()
	const census = "https://census.service/"
	shop := svcauthtest.NewIssuer(t, "https://shop.service/")
	verifier := svcauthtest.NewVerifier(t, census, svcauthtest.Trust{
		Issuer: shop, Allow: []string{"GET /user/*"}, ActFor: []string{census + "user/*"},
	})
	for _, id := range []string{"jane.doe@example.com", "jane.doe%2540example.com", "jane.doe%25252540example.com"} {
		var log bytes.Buffer
		handler := authenticated(verifier, &log, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		}))
		r := httptest.NewRequest(http.MethodGet, census+"user/"+id, http.NoBody)
		shop.Sign(t, r, census, svcauth.Subject(census+"user/"+id))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || !strings.Contains(log.String(), "(with an @)") || strings.Contains(log.String(), "jane") {
			t.Errorf("%s: status %d, log %s", id, w.Code, &log)
		}
	}
}
