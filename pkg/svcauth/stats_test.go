package svcauth_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// Calls are counted by issuer and check. An issuer that the trust file does not name has no entry.
func TestStats(t *testing.T) {
	t.Parallel()
	h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
	verifier := svcauthtest.NewVerifier(t, census,
		svcauthtest.Trust{Issuer: h, Allow: []string{"GET /user/*"}, ActFor: []string{census + "user/*"}},
		svcauthtest.Trust{Issuer: s, Allow: []string{"GET /user/*"}})
	call := func(times int, issuer *svcauthtest.Issuer, subject svcauth.Subject) {
		t.Helper()
		for range times {
			req := httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
			issuer.Sign(t, req, census, subject)
			statusOf(verifier, req)
		}
	}
	call(3, h, user21)
	call(2, s, user21)
	call(1, s, shop)
	call(2, svcauthtest.NewIssuer(t, herald), user21) // another key
	call(2, svcauthtest.NewIssuer(t, "https://evil.service/"), user21)
	call(1, svcauthtest.NewIssuer(t, "https://wicked.service/"), user21)
	statusOf(verifier, httptest.NewRequest(http.MethodGet, census+"user/42/", nil))
	want := []svcauth.CallCount{
		{Refused: svcauth.CheckHeader, Count: 1},
		{Refused: svcauth.CheckIssuer, Count: 3},
		{Issuer: herald, Count: 3},
		{Issuer: herald, Refused: svcauth.CheckKey, Count: 2},
		{Issuer: shop, Count: 1},
		{Issuer: shop, Refused: svcauth.CheckSubject, Count: 2},
	}
	if got := verifier.Stats().Calls; !slices.Equal(got, want) {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// With InsecureAllowReplay a token is accepted any number of times while it is valid. A verifier
// without a replay store needs that setting.
func TestInsecureAllowReplay(t *testing.T) {
	t.Parallel()
	h := svcauthtest.NewIssuer(t, herald)
	config := svcauth.VerifierConfig{
		Audience:  census,
		TrustFile: svcauthtest.WriteTrustFile(t, svcauthtest.Trust{Issuer: h, Allow: []string{"POST /user/"}}),
	}
	if _, err := svcauth.NewVerifier(config); err == nil || !strings.Contains(err.Error(), "no replay store") {
		t.Errorf("error %v", err)
	}
	config.InsecureAllowReplay = true
	verifier, err := svcauth.NewVerifier(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	req := httptest.NewRequest(http.MethodPost, census+"user/", nil)
	h.Sign(t, req, census, herald)
	for range 3 {
		if status := statusOf(verifier, req); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	config.Replay = svcauth.NewMemoryReplay()
	if _, err := svcauth.NewVerifier(config); err == nil || !strings.Contains(err.Error(), "one of the two") {
		t.Errorf("error %v", err)
	}
}

// A replay store that does not answer counts as unavailable after two seconds.
func TestSilentReplayStore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := svcauthtest.NewIssuer(t, herald)
		verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
			Audience: census, Replay: silentReplay{}, Logger: slog.New(slog.DiscardHandler),
			TrustFile: svcauthtest.WriteTrustFile(t, svcauthtest.Trust{Issuer: h, Allow: []string{"POST /user/"}}),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(verifier.Close)
		req := httptest.NewRequest(http.MethodPost, census+"user/", nil)
		h.Sign(t, req, census, herald)
		start := time.Now()
		if status := statusOf(verifier, req); status != http.StatusServiceUnavailable || time.Since(start) != 2*time.Second {
			t.Errorf("status %d after %v", status, time.Since(start))
		}
	})
}

type silentReplay struct{}

func (silentReplay) Burn(ctx context.Context, _, _ string, _ time.Time) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

// When a token is refused because of a clock, the log states the times of the token and of the
// clock.
func TestWrongClockIsLogged(t *testing.T) {
	w := newWorld(t)
	now := w.now.UTC()
	stamp := func(offset time.Duration) string { return now.Add(offset).Format(time.RFC3339) }
	for _, tt := range []struct {
		name   string
		offset int64 // of the token's clock
		want   []string
	}{
		{"receiver is 5 minutes ahead", -300, []string{
			"expired 4m0s ago", "this clock says " + stamp(0), "iat " + stamp(-5*time.Minute), "exp " + stamp(-4*time.Minute),
		}},
		{"receiver is 5 minutes behind", 300, []string{
			"issued 5m0s in the future, so that one of the clocks is wrong", "this clock says " + stamp(0), "iat " + stamp(5*time.Minute),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := boundRead(t, w)
			timeClaim("iat", tt.offset)(c)
			timeClaim("exp", tt.offset+60)(c)
			c.sign()
			w.log.Reset()
			if got := c.send(); got.refusal == nil || got.refusal.Check != svcauth.CheckTime {
				t.Fatalf("status %d, %v", got.status, got.refusal)
			}
			for _, want := range append(tt.want, svcauth.TokenHash(c.token)) {
				if log := w.log.String(); !strings.Contains(log, want) {
					t.Errorf("no %q in the log: %s", want, log)
				}
			}
		})
	}
}

// A closed verifier leaves no goroutine, whatever it was doing.
func TestCloseLeavesNothing(t *testing.T) { //nolint:paralleltest // it counts all goroutines
	h := svcauthtest.NewIssuer(t, herald)
	before := goleak.IgnoreCurrent()
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){"silent": hang, "slow": trickle, "down": down} {
		file := filepath.Join(t.TempDir(), "trust.yaml")
		writeTrust(t, file, h)
		addDiscovery(t, file, shop)
		verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
			Audience: census, TrustFile: file, Replay: svcauth.NewMemoryReplay(),
			HTTPClient: &http.Client{Transport: &network{answer: answer}}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
		h.Sign(t, req, census, user21)
		if status := statusOf(verifier, req); status != http.StatusOK {
			t.Errorf("%s: status %d", name, status)
		}
		verifier.Close()
		goleak.VerifyNone(t, before)
	}
}
