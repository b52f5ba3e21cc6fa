package svcauth_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A network is an HTTP transport that serves key sets from memory. A real connection would stop the
// clock of a test in a bubble.
type network struct {
	mu      sync.Mutex
	fetched []time.Time
	answer  func(*http.Request) (*http.Response, error)
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.fetched = append(n.fetched, time.Now())
	answer := n.answer
	n.mu.Unlock()
	return answer(r)
}

func (n *network) setAnswer(answer func(*http.Request) (*http.Response, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = answer
}

// fetches returns the number of fetches that began at that time or later.
func (n *network) fetches(since time.Time) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, at := range n.fetched {
		if !at.Before(since) {
			count++
		}
	}
	return count
}

// publish makes the network answer with these keys and that Cache-Control.
func (n *network) publish(cacheControl string, issuers ...*svcauthtest.Issuer) {
	published := make([]*keys.Private, 0, len(issuers))
	for _, i := range issuers {
		published = append(published, i.Key)
	}
	n.setAnswer(func(r *http.Request) (*http.Response, error) {
		recorder := httptest.NewRecorder()
		keys.Handler(keySet(published)).ServeHTTP(recorder, r)
		res := recorder.Result()
		res.Header.Set("Cache-Control", cacheControl)
		return res, nil
	})
}

func down(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") }

// hang does not answer before the context of the fetch is done.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// trickle answers with one byte every ten seconds.
func trickle(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(slowReader{r.Context().Done()})}, nil
}

type slowReader struct{ done <-chan struct{} }

func (s slowReader) Read(p []byte) (int, error) {
	select {
	case <-s.done:
		return 0, context.Canceled
	case <-time.After(10 * time.Second):
		p[0] = ' '
		return 1, nil
	}
}

// startDiscovery returns a verifier that discovers herald's keys, and knows shop's from a file.
func startDiscovery(t *testing.T, n *network, s *svcauthtest.Issuer) *runningVerifier {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trust.yaml")
	writeTrust(t, file, s)
	addDiscovery(t, file, herald)
	return n.startVerifier(t, file)
}

// startVerifier returns a verifier with that trust file, which fetches key sets from the network.
func (n *network) startVerifier(t *testing.T, file string) *runningVerifier {
	t.Helper()
	r := &runningVerifier{file: file}
	var err error
	r.verifier, err = svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, TrustFile: file, Replay: svcauth.NewMemoryReplay(),
		HTTPClient: &http.Client{Transport: n}, Logger: slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.verifier.Close)
	return r
}

func addDiscovery(t *testing.T, file, issuer string) {
	t.Helper()
	addTrustText(t, file, "  - issuer: "+issuer+"\n    keys: discover\n    allow: [GET /user/*]\n    act_for: [https://census.service/user/*]\n")
}

// timedStatus returns how long the verifier takes to answer a call by issuer, and the status.
func (r *runningVerifier) timedStatus(t *testing.T, issuer *svcauthtest.Issuer) (time.Duration, int) {
	t.Helper()
	start := time.Now()
	status := r.status(t, issuer)
	return time.Since(start), status
}

// A key set that does not arrive delays the first look-up by three seconds. It delays no later
// look-up and no other issuer.
func TestSlowKeySet(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){"silent": hang, "slow": trickle} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h, next, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
				n := &network{answer: answer}
				r := startDiscovery(t, n, s)
				if took, status := r.timedStatus(t, h); took != 3*time.Second || status != http.StatusServiceUnavailable {
					t.Errorf("first look-up: status %d after %v", status, took)
				}
				if took, status := r.timedStatus(t, h); took != 0 || status != http.StatusServiceUnavailable {
					t.Errorf("second look-up: status %d after %v", status, took)
				}
				if took, status := r.timedStatus(t, s); took != 0 || status != http.StatusOK {
					t.Errorf("another issuer: status %d after %v", status, took)
				}
				n.publish("", h)
				<-time.After(time.Minute)
				if took, status := r.timedStatus(t, h); took != 0 || status != http.StatusOK {
					t.Errorf("when the set has arrived: status %d after %v", status, took)
				}
				n.setAnswer(answer)
				for i := range 30 {
					took, status := r.timedStatus(t, next)
					if took != 0 || i < 9 && status != http.StatusUnauthorized || i > 11 && status != http.StatusServiceUnavailable {
						// 401 until the fetch times out, then 503.
						t.Fatalf("unknown key after %d s: status %d after %v", i, status, took)
					}
					if took, status := r.timedStatus(t, h); took != 0 || status != http.StatusOK {
						t.Fatalf("known key: status %d after %v", status, took)
					}
					<-time.After(time.Second)
				}
				if set := r.verifier.Stats().KeySets[0]; set.Cause != "timeout" {
					t.Errorf("key set %+v", set)
				}
			})
		})
	}
}

// A look-up ends with the context of its request.
func TestFirstLookUpCancelled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		r := startDiscovery(t, &network{answer: hang}, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, census+"user/42/", nil)
		h.Sign(t, req, census, user21)
		start := time.Now()
		if status := statusOf(r.verifier, req); status != http.StatusServiceUnavailable || time.Since(start) != time.Second {
			t.Errorf("status %d after %v", status, time.Since(start))
		}
	})
}

// A closed verifier does not wait for keys.
func TestFirstLookUpAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		r := startDiscovery(t, &network{answer: hang}, s)
		r.verifier.Close()
		if took, status := r.timedStatus(t, h); took != 0 || status != http.StatusServiceUnavailable {
			t.Errorf("status %d after %v", status, took)
		}
	})
}

// During an outage the known keys are used for a day. After that calls are refused with 503 until
// the key set can be fetched again.
func TestOutage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		key := generateKey(t, keys.EdDSA)
		n := &network{}
		n.publish("max-age=60", &svcauthtest.Issuer{Key: key})
		var log logBuffer
		var skipped atomic.Int64 // nanoseconds by which the clock is moved forward
		now := func() time.Time { return time.Now().Add(time.Duration(skipped.Load())) }
		file := filepath.Join(t.TempDir(), "trust.yaml")
		writeFile(t, file, []byte("issuers: [{issuer: https://herald.service/, keys: discover, allow: [GET /user/*]}]"))
		verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
			Audience: census, TrustFile: file, Replay: svcauth.NewMemoryReplay(), Now: now,
			HTTPClient: &http.Client{Transport: n}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(verifier.Close)
		signer := newSigner(t, func(c *svcauth.SignerConfig) { c.Key, c.Now = key, now })
		expect := func(status int) {
			t.Helper()
			req := httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
			if err := signer.Sign(req, census, herald); err != nil {
				t.Fatal(err)
			}
			if got := statusOf(verifier, req); got != status {
				t.Errorf("status %d, want %d", got, status)
			}
		}
		expect(http.StatusOK)

		n.setAnswer(down)
		began := time.Now()
		<-time.After(10 * time.Minute)
		expect(http.StatusOK)
		if tries := n.fetches(began); tries < 20 || tries > 32 {
			t.Errorf("%d tries in 10 minutes, at most 30 s apart", tries)
		}
		skipped.Add(int64(23 * time.Hour))
		<-time.After(10 * time.Minute)
		expect(http.StatusOK)
		skipped.Add(int64(time.Hour))
		expect(http.StatusServiceUnavailable)
		if times := strings.Count(log.String(), "key set cannot be fetched"); times != 1 {
			t.Errorf("the outage was logged %d times", times)
		}

		n.publish("max-age=60", &svcauthtest.Issuer{Key: key})
		<-time.After(31 * time.Second) // the longest pause between two tries
		expect(http.StatusOK)
		if times := strings.Count(log.String(), "key set is fetched again"); times != 1 {
			t.Errorf("its end was logged %d times", times)
		}
	})
}

// Cache-Control is honoured between one minute and a quarter of an hour, with jitter.
func TestRefresh(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cacheControl string
		least, most  time.Duration
	}{
		{"", 54 * time.Second, time.Minute},
		{"no-store, max-age=30", 54 * time.Second, time.Minute},
		{"max-age=1", 54 * time.Second, time.Minute},
		{"public, max-age=300", 270 * time.Second, 5 * time.Minute},
		{"max-age=86400", 810 * time.Second, 15 * time.Minute},
		{"max-age=99999999999999999999", 810 * time.Second, 15 * time.Minute},
		{`no-transform, Max-Age="600"`, 540 * time.Second, 10 * time.Minute},
		{"max-age=ten", 54 * time.Second, time.Minute},
	} {
		t.Run(tt.cacheControl, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
				n := &network{}
				n.publish(tt.cacheControl, h)
				startDiscovery(t, n, s)
				<-time.After(time.Hour)
				n.mu.Lock()
				defer n.mu.Unlock()
				if len(n.fetched) < 4 {
					t.Fatalf("%d fetches in an hour", len(n.fetched))
				}
				pauses := map[time.Duration]bool{}
				for i := 1; i < len(n.fetched); i++ {
					pause := n.fetched[i].Sub(n.fetched[i-1])
					if pause < tt.least || pause > tt.most {
						t.Fatalf("refreshed after %v, want %v to %v", pause, tt.least, tt.most)
					}
					pauses[pause] = true
				}
				if len(pauses) < 2 {
					t.Errorf("refreshed without jitter: %v", pauses)
				}
			})
		})
	}
}

// A changed trust file keeps the key sets of the issuers that it still names. The others are no
// longer fetched.
func TestReloadKeepsKeySet(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s, a := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop), svcauthtest.NewIssuer(t, another)
		n := &network{}
		n.publish("max-age=900", h)
		r := startDiscovery(t, n, s)
		r.expect(t, http.StatusOK, h)

		n.setAnswer(down)
		<-time.After(time.Second)
		edited := time.Now()
		writeTrust(t, r.file, s, a)
		addDiscovery(t, r.file, herald)
		r.awaitReload()
		r.expect(t, http.StatusOK, h, s, a)
		if fetches := n.fetches(edited); fetches > 0 {
			t.Errorf("%d fetches because of an edit", fetches)
		}
		removed := time.Now()
		writeTrust(t, r.file, s)
		r.awaitReload()
		<-time.After(20 * time.Minute)
		r.expect(t, http.StatusUnauthorized, h)
		if fetches := n.fetches(removed); fetches > 0 {
			t.Errorf("%d fetches for an issuer that was removed", fetches)
		}
		if strings.Contains(r.log.String(), "cannot be fetched") {
			t.Errorf("log %s", r.log.String())
		}
	})
}
