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

// A fakeAdmission is an Admission that refuses what the test says, and records the callers that it
// was asked about.
type fakeAdmission struct {
	mu                        sync.Mutex
	refuseExpect, refuseAdmit bool
	expected, admitted        []svcauth.Caller
}

func (f *fakeAdmission) set(refuseExpect, refuseAdmit bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuseExpect, f.refuseAdmit = refuseExpect, refuseAdmit
}

func (f *fakeAdmission) Expect(_ context.Context, claimed svcauth.Caller) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expected = append(f.expected, claimed)
	return !f.refuseExpect
}

func (f *fakeAdmission) Admit(_ context.Context, caller svcauth.Caller) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.admitted = append(f.admitted, caller)
	return !f.refuseAdmit
}

// newAdmissionVerifier returns a verifier with a fakeAdmission, and an issuer that it trusts.
func newAdmissionVerifier(t *testing.T, log *slog.Logger) (*fakeAdmission, *svcauth.Verifier, *svcauthtest.Issuer) {
	t.Helper()
	admission, issuer := &fakeAdmission{}, svcauthtest.NewIssuer(t, herald)
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, Replay: svcauth.NewMemoryReplay(), Admission: admission, Logger: log,
		TrustFile: svcauthtest.WriteTrustFile(t, svcauthtest.Trust{
			Issuer: issuer, Allow: []string{"GET /user/*", "POST /user/"}, ActFor: []string{census + "user/*"},
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	return admission, verifier, issuer
}

const smallBody = `{"name":"x"}`

func signedPost(t *testing.T, issuer *svcauthtest.Issuer) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, census+"user/", strings.NewReader(smallBody))
	issuer.Sign(t, r, census, herald)
	return r
}

// resent returns a second request with the same token and body.
func resent(r *http.Request) *http.Request {
	sent := httptest.NewRequest(http.MethodPost, census+"user/", strings.NewReader(smallBody))
	sent.Header = r.Header.Clone()
	return sent
}

// A call that Expect or Admit refuses is answered 503 with Retry-After, and its token can be used
// afterwards.
func TestAdmission(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	admission, verifier, issuer := newAdmissionVerifier(t, slog.New(slog.NewTextHandler(&log, nil)))
	handled := 0
	handler := verifier.Require(1 << 10)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { handled++ }))
	r := signedPost(t, issuer)
	for _, step := range []struct {
		name                      string
		refuseExpect, refuseAdmit bool
		status                    int
	}{
		{"not expected", true, false, http.StatusServiceUnavailable},
		{"not admitted", false, true, http.StatusServiceUnavailable},
		{"admitted", false, false, http.StatusOK},
		{"token used", false, false, http.StatusUnauthorized},
	} {
		admission.set(step.refuseExpect, step.refuseAdmit)
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

// Admit is asked about verified callers only: a token with a forged signature gets no further than
// Expect. When Expect refuses the claimed caller, the signature is not verified.
func TestAdmissionOfForged(t *testing.T) {
	t.Parallel()
	admission, verifier, issuer := newAdmissionVerifier(t, slog.New(slog.DiscardHandler))
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
	if len(admission.expected) != 1 || admission.expected[0].Issuer != herald || len(admission.admitted) != 0 {
		t.Errorf("asked to expect %v and to admit %v", admission.expected, admission.admitted)
	}
	admission.set(true, true)
	if status := call(resent(forged)); status != http.StatusServiceUnavailable {
		t.Errorf("forged, and not expected: status %d", status)
	}
	admission.set(false, false)
	unknown := svcauthtest.NewIssuer(t, "https://evil.service/")
	if status := call(signedPost(t, unknown)); status != http.StatusUnauthorized {
		t.Errorf("unknown issuer: status %d", status)
	}
	if len(admission.expected) != 2 {
		t.Errorf("asked about an unknown issuer: %v", admission.expected)
	}
}

// Admit is asked about a call with a cached token, too.
func TestAdmissionOfCachedToken(t *testing.T) {
	t.Parallel()
	admission, verifier, issuer := newAdmissionVerifier(t, slog.New(slog.DiscardHandler))
	r := httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
	issuer.Sign(t, r, census, user21)
	for _, refused := range []bool{false, true, false} {
		admission.set(false, refused)
		want := http.StatusOK
		if refused {
			want = http.StatusServiceUnavailable
		}
		if status := statusOf(verifier, r); status != want {
			t.Errorf("refused by Admit %t: status %d", refused, status)
		}
	}
}

// The connection of a call that was not admitted stays open, unless the body is over the limit.
func TestAdmissionKeepsConnection(t *testing.T) {
	t.Parallel()
	admission, verifier, issuer := newAdmissionVerifier(t, slog.New(slog.DiscardHandler))
	admission.set(true, true)
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
