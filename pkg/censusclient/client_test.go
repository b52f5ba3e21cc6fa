package censusclient_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// censusURL is a name that httptest's certificate covers. httptest's client connects to the test
// server for it.
const (
	censusURL = "https://example.com/"
	subject   = censusURL + "user/21/"
	user      = `{"uri":"https://example.com/user/42/","name":"Census User",` +
		`"email":"census.user@example.com","locale":"de","extra":1}`
)

// start starts a Census with the given handler. It returns a client of it and the client's log.
func start(t *testing.T, handler http.HandlerFunc) (*censusclient.Client, *bytes.Buffer) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return newClient(t, svcauthtest.NewIssuer(t, "https://herald.service/"), server.Client())
}

func newClient(t *testing.T, issuer *svcauthtest.Issuer, httpClient *http.Client) (*censusclient.Client, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	client, err := censusclient.New(censusclient.Config{
		URL: censusURL, Signer: issuer.Signer(), HTTPClient: httpClient, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client, &log
}

// TestUser verifies the request with the verifier that Census uses.
func TestUser(t *testing.T) {
	t.Parallel()
	issuer := svcauthtest.NewIssuer(t, "https://herald.service/")
	verifier := svcauthtest.NewVerifier(t, censusURL, svcauthtest.Trust{
		Issuer: issuer, Allow: []string{"GET /user/*"}, ActFor: []string{censusURL + "user/*"},
	})
	server := httptest.NewTLSServer(verifier.Require(0)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := svcauth.CallerFrom(r.Context())
		if sub, _ := svcauth.SubjectFrom(r.Context()); sub != subject || caller.Issuer != "https://herald.service/" ||
			r.URL.Path != "/user/42/" {
			t.Errorf("%s %s by %+v for %s", r.Method, r.URL, caller, sub)
		}
		_, _ = w.Write([]byte(user))
	})))
	t.Cleanup(server.Close)
	client, log := newClient(t, issuer, server.Client())

	got, err := client.User(t.Context(), subject, 42)
	if want := (censusclient.User{Name: "Census User", Email: "census.user@example.com", Locale: "de"}); err != nil ||
		got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := client.User(t.Context(), "https://shop.service/", 42); !errors.Is(err, censusclient.ErrForbidden) {
		t.Errorf("for a subject that Census does not let Herald act for: %v", err)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log)
	}
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"forbidden":         {answer(403, ""), censusclient.ErrForbidden},
		"not found":         {answer(404, ""), censusclient.ErrNotFound},
		"unauthorized":      {answer(401, ""), censusclient.ErrUnavailable},
		"too many requests": {answer(429, ""), censusclient.ErrUnavailable},
		"server error":      {answer(500, user), censusclient.ErrUnavailable},
		"unavailable":       {answer(503, ""), censusclient.ErrUnavailable},
		"no content":        {answer(204, ""), censusclient.ErrUnavailable},
		"gone":              {answer(410, ""), censusclient.ErrUnavailable},
		"empty":             {answer(200, ""), censusclient.ErrUnavailable},
		"no JSON":           {answer(200, "<html>census.user@example.com"), censusclient.ErrUnavailable},
		"another user":      {answer(200, strings.Replace(user, "42", "43", 1)), censusclient.ErrUnavailable},
		"wrong types": {
			answer(200, `{"uri":"https://example.com/user/42/","email":["census.user@example.com"]}`),
			censusclient.ErrUnavailable,
		},
		"endless": {answer(200, strings.Repeat(" ", 1<<20)+user), censusclient.ErrUnavailable},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(user))
		}, censusclient.ErrUnavailable},
		"dropped": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, censusclient.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, log := start(t, test.handler)
			got, err := client.User(t.Context(), subject, 42)
			if !errors.Is(err, test.want) || got != (censusclient.User{}) {
				t.Errorf("got %+v, %v, want %v", got, err, test.want)
			}
			if text := err.Error() + log.String(); strings.Contains(text, "census.user@") {
				t.Errorf("the text contains the address: %s", text)
			}
			if logged := strings.Contains(log.String(), "level=ERROR"); logged != (name == "unauthorized") {
				t.Errorf("logged: %s", log)
			}
		})
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	t.Parallel()
	client, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/user/42/" {
			t.Errorf("followed to %s", r.URL)
		}
		http.Redirect(w, r, "/elsewhere/", http.StatusFound)
	})
	if _, err := client.User(t.Context(), subject, 42); !errors.Is(err, censusclient.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestOutages(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	httpClient := server.Client()
	strict := &http.Client{Transport: &http.Transport{DialContext: httpClient.Transport.(*http.Transport).DialContext}}
	untrusting, _ := newClient(t, svcauthtest.NewIssuer(t, "https://herald.service/"), strict)
	if _, err := untrusting.User(t.Context(), subject, 42); !errors.Is(err, censusclient.ErrUnavailable) {
		t.Errorf("untrusted certificate: %v", err)
	}
	server.Close()
	down, _ := newClient(t, svcauthtest.NewIssuer(t, "https://herald.service/"), httpClient)
	if _, err := down.User(t.Context(), subject, 42); !errors.Is(err, censusclient.ErrUnavailable) {
		t.Errorf("connection refused: %v", err)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	client, _ := start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.User(ctx, subject, 42); !errors.Is(err, censusclient.ErrUnavailable) ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	signer := svcauthtest.NewIssuer(t, "https://herald.service/").Signer()
	for name, config := range map[string]censusclient.Config{
		"no signer":        {URL: censusURL, HTTPClient: &http.Client{}},
		"no URL":           {Signer: signer, HTTPClient: &http.Client{}},
		"http":             {Signer: signer, HTTPClient: &http.Client{}, URL: "http://census.service/"},
		"no slash":         {Signer: signer, HTTPClient: &http.Client{}, URL: "https://census.service"},
		"upper-case host":  {Signer: signer, HTTPClient: &http.Client{}, URL: "https://Census.service/"},
		"query in the URL": {Signer: signer, HTTPClient: &http.Client{}, URL: "https://census.service/?a"},
	} {
		if _, err := censusclient.New(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
