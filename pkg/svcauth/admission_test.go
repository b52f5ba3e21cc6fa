package svcauth_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A door is an Admission that is told what to say, and remembers of whom it was asked.
type door struct {
	mu                 sync.Mutex
	unexpected, closed bool
	expected, admitted []svcauth.Caller
}

func (d *door) set(unexpected, closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unexpected, d.closed = unexpected, closed
}

func (d *door) Expect(_ context.Context, claimed svcauth.Caller) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expected = append(d.expected, claimed)
	return !d.unexpected
}

func (d *door) Admit(_ context.Context, caller svcauth.Caller) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.admitted = append(d.admitted, caller)
	return !d.closed
}

// newDoor returns a verifier with an Admission, and an issuer that it trusts.
func newDoor(t *testing.T, log *slog.Logger) (*door, *svcauth.Verifier, *svcauthtest.Issuer) {
	t.Helper()
	d, issuer := &door{}, svcauthtest.NewIssuer(t, herald)
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, Replay: svcauth.NewMemoryReplay(), Admission: d, Logger: log,
		TrustFile: svcauthtest.WriteTrustFile(t, svcauthtest.Trust{
			Issuer: issuer, Allow: []string{"GET /user/*", "POST /user/"}, ActFor: []string{census + "user/*"},
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	return d, verifier, issuer
}

const smallBody = `{"name":"x"}`

func signedPost(t *testing.T, issuer *svcauthtest.Issuer) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, census+"user/", strings.NewReader(smallBody))
	issuer.Sign(t, r, census, herald)
	return r
}

// resent is the request once more, with the same token.
func resent(r *http.Request) *http.Request {
	sent := httptest.NewRequest(http.MethodPost, census+"user/", strings.NewReader(smallBody))
	sent.Header = r.Header.Clone()
	return sent
}

// A call that is not admitted, at either question, is answered 503 with Retry-After, and its token
// works afterwards.
func TestAdmission(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	d, verifier, issuer := newDoor(t, slog.New(slog.NewTextHandler(&log, nil)))
	handled := 0
	handler := verifier.Require(1 << 10)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { handled++ }))
	r := signedPost(t, issuer)
	for _, step := range []struct {
		name               string
		unexpected, closed bool
		status             int
	}{
		{"not expected", true, false, http.StatusServiceUnavailable},
		{"not admitted", false, true, http.StatusServiceUnavailable},
		{"room", false, false, http.StatusOK},
		{"token used", false, false, http.StatusUnauthorized},
	} {
		d.set(step.unexpected, step.closed)
		res := httptest.NewRecorder()
		handler.ServeHTTP(res, resent(r))
		if res.Code != step.status {
			t.Errorf("%s: status %d, want %d", step.name, res.Code, step.status)
		}
		if step.status != http.StatusServiceUnavailable {
			continue
		}
		want := `{"type":"urn:svcauth:problem:overloaded","title":"Service Unavailable","status":503,` +
			`"detail":"The service has more calls than it can answer. Try again shortly."}`
		if res.Body.String() != want || res.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: answer %s of type %s", step.name, res.Body, res.Header().Get("Content-Type"))
		}
		if res.Header().Get("Retry-After") != "1" || res.Header().Get("Connection") != "" {
			t.Errorf("%s: headers %v", step.name, res.Header())
		}
	}
	if handled != 1 {
		t.Errorf("handled %d times", handled)
	}
	if strings.Contains(log.String(), "admission") {
		t.Errorf("a line for each call that was not admitted: %s", log.String())
	}
	want := []svcauth.CallCount{
		{Issuer: herald, Count: 1},
		{Issuer: herald, Refused: svcauth.CheckReplay, Count: 1},
		{Issuer: herald, Refused: svcauth.CheckAdmission, Count: 2},
	}
	if got := verifier.Stats().Calls; !slices.Equal(got, want) {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// Only a verified caller counts: a token with a forged signature reaches no further than the first
// question, and a caller whom nobody expects costs no check of a signature.
func TestAdmissionOfForged(t *testing.T) {
	t.Parallel()
	d, verifier, issuer := newDoor(t, slog.New(slog.DiscardHandler))
	handler := verifier.Require(1 << 10)(http.NotFoundHandler())
	call := func(r *http.Request) int {
		res := httptest.NewRecorder()
		handler.ServeHTTP(res, r)
		return res.Code
	}
	forged := signedPost(t, issuer)
	token := []byte(forged.Header.Get(svcauth.Header))
	if at := &token[len(token)-10]; *at == 'A' {
		*at = 'B'
	} else {
		*at = 'A'
	}
	forged.Header.Set(svcauth.Header, string(token))
	if status := call(resent(forged)); status != http.StatusUnauthorized {
		t.Errorf("forged: status %d", status)
	}
	if len(d.expected) != 1 || d.expected[0].Issuer != herald || len(d.admitted) != 0 {
		t.Errorf("asked to expect %v and to admit %v", d.expected, d.admitted)
	}
	d.set(true, true)
	if status := call(resent(forged)); status != http.StatusServiceUnavailable {
		t.Errorf("forged, and not expected: status %d", status)
	}
	d.set(false, false)
	stranger := svcauthtest.NewIssuer(t, "https://evil.service/")
	if status := call(signedPost(t, stranger)); status != http.StatusUnauthorized {
		t.Errorf("unknown issuer: status %d", status)
	}
	if len(d.expected) != 2 {
		t.Errorf("asked about an unknown issuer: %v", d.expected)
	}
}

// A read token that has been seen before is not admitted by itself.
func TestAdmissionOfSeen(t *testing.T) {
	t.Parallel()
	d, verifier, issuer := newDoor(t, slog.New(slog.DiscardHandler))
	r := httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
	issuer.Sign(t, r, census, user21)
	for _, closed := range []bool{false, true, false} {
		d.set(false, closed)
		want := http.StatusOK
		if closed {
			want = http.StatusServiceUnavailable
		}
		if status := statusOf(verifier, r); status != want {
			t.Errorf("closed %t: status %d", closed, status)
		}
	}
}

// The connection of a call that was not admitted stays open, unless its body is larger than any
// that is accepted.
func TestAdmissionKeepsConnection(t *testing.T) {
	t.Parallel()
	d, verifier, issuer := newDoor(t, slog.New(slog.DiscardHandler))
	d.set(true, true)
	server := httptest.NewServer(verifier.Require(1 << 10)(http.NotFoundHandler()))
	t.Cleanup(server.Close)
	for _, c := range []struct {
		size   int
		closed bool
	}{{10, false}, {1 << 10, false}, {1<<10 + 1, true}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/user/", strings.NewReader(strings.Repeat("x", c.size)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(svcauth.Header, signedPost(t, issuer).Header.Get(svcauth.Header))
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable || res.Close != c.closed {
			t.Errorf("%d bytes: status %d, closed %t", c.size, res.StatusCode, res.Close)
		}
	}
}
