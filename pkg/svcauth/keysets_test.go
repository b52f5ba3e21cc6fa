package svcauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// goodX are the members of the public key of RFC 8037, appendix A.
const goodX = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`

// answerSet makes the network answer with this text at every URL.
func (n *network) answerSet(set string) {
	n.setAnswer(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(set))}, nil
	})
}

// A fetched key set replaces the one before, even if it has no usable key. The issuer's calls are
// then refused because their key is unknown, and not answered with 503.
func TestEmptySetReplaces(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		set     string
		skipped int
	}{
		"empty":              {`{"keys":[]}`, 0},
		"unsupported key":    {`{"keys":[{"kty":"quantum"}]}`, 1},
		"key of another use": {`{"keys":[{` + goodX + `,"use":"enc"},{"kty":"oct","k":"AAAA"}]}`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
				n := &network{}
				n.publish("max-age=60", h)
				r := startDiscovery(t, n, s)
				r.expect(t, http.StatusOK, h)
				n.answerSet(tt.set)
				<-time.After(5 * time.Minute)
				r.expect(t, http.StatusUnauthorized, h)
				set := r.verifier.Stats().KeySets[0]
				if set.Keys != 0 || set.Skipped != tt.skipped || set.Cause != "" || set.Failures != 0 || time.Since(set.Fetched) > time.Minute {
					t.Errorf("key set %+v", set)
				}
				r.expectLogged(t, 1, "key set has no usable key")
				r.expectLogged(t, 0, "key set cannot be fetched")
				n.setAnswer(down)
				<-time.After(5 * time.Minute)
				r.expect(t, http.StatusServiceUnavailable, h) // the set may have keys again
				n.publish("max-age=60", h)
				<-time.After(time.Minute)
				r.expect(t, http.StatusOK, h)
				r.expectLogged(t, 1, "key set has usable keys again")
			})
		})
	}
}

// An answer that is not a JWK Set does not replace the set before.
func TestInvalidSetDoesNotReplace(t *testing.T) {
	t.Parallel()
	for _, set := range []string{`{}`, `{"error":"try again"}`, `{"keys":null}`, `{"keys":{}}`, `[]`, `{` + goodX + `}`, `{"Keys":[]}`, ``} {
		t.Run(set, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
				n := &network{}
				n.publish("max-age=60", h)
				r := startDiscovery(t, n, s)
				r.expect(t, http.StatusOK, h)
				n.answerSet(set)
				<-time.After(5 * time.Minute)
				r.expect(t, http.StatusOK, h)
				if set := r.verifier.Stats().KeySets[0]; set.Keys != 1 || set.Cause != "content" {
					t.Errorf("key set %+v", set)
				}
			})
		})
	}
}

// The first set may be empty too.
func TestEmptyFirstSet(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		n := &network{}
		n.answerSet(`{"keys":[]}`)
		r := startDiscovery(t, n, s)
		r.expect(t, http.StatusUnauthorized, h)
		r.expectLogged(t, 1, "key set has no usable key")
	})
}

// flood sends reads with made-up kids in herald's name for that long: ten kids a second, each
// twice. It returns when all are answered.
func (r *runningVerifier) flood(t *testing.T, span time.Duration) {
	t.Helper()
	var calls sync.WaitGroup
	for _, req := range forgedKids(t, herald, int(span/(100*time.Millisecond))) {
		for range 2 { // each kid comes twice, as the new kid of a rotation does
			calls.Go(func() { statusOf(r.verifier, req) })
		}
		<-time.After(100 * time.Millisecond)
	}
	calls.Wait()
}

// Whatever state a key set is in, the number of fetches that calls cause, beyond the scheduled
// ones, is limited for each issuer.
func TestFloodHasOneBudget(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(n *network, h *svcauthtest.Issuer){
		"never fetched":     func(n *network, _ *svcauthtest.Issuer) { n.setAnswer(down) },
		"fetched":           func(n *network, h *svcauthtest.Issuer) { n.publish("max-age=900", h) },
		"fetched and empty": func(n *network, _ *svcauthtest.Issuer) { n.publish("max-age=900") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
				n := &network{}
				prepare(n, h)
				began := time.Now()
				r := startDiscovery(t, n, s)
				r.flood(t, 40*time.Second)
				if fetches := n.fetches(began); fetches > 10 { // of which 6 are scheduled while they fail
					t.Errorf("%d fetches in 40 s", fetches)
				}
				spent := time.Now()
				n.setAnswer(down)
				r.flood(t, 2*time.Minute)
				if fetches := n.fetches(spent); fetches > 14 {
					t.Errorf("%d fetches in 2 minutes", fetches)
				}
			})
		})
	}
}

// During an outage, calls with forged tokens do not delay the scheduled fetches either.
func TestFloodKeepsSchedule(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		n := &network{answer: down}
		r := startDiscovery(t, n, s)
		var flood sync.WaitGroup
		flood.Go(func() { r.flood(t, 10*time.Second) })
		<-time.After(6 * time.Second)
		n.publish("", h)
		<-time.After(1100 * time.Millisecond) // the fourth scheduled fetch is due 7 s after the first
		if set := r.verifier.Stats().KeySets[0]; set.Keys != 1 {
			t.Errorf("key set %+v", set)
		}
		flood.Wait()
	})
}

// The first call of an issuer that starts long after the receiver waits for the fetch that it
// causes, and is accepted.
func TestLateIssuer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, wait := range []time.Duration{5 * time.Second, 9 * time.Second, 10 * time.Minute, 11*time.Minute + 700*time.Millisecond} {
			h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
			n := &network{answer: down}
			r := startDiscovery(t, n, s)
			<-time.After(wait)
			n.publish("", h)
			if took, status := r.timedStatus(t, h); status != http.StatusOK || took > time.Second {
				t.Errorf("first call after %v: status %d, took %v", wait, status, took)
			}
		}
	})
}

// A call that waits for a fetch is answered with 503 after three seconds at most. A call is
// answered with 503, too, when no fetch is about to begin.
func TestWaitIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		n := &network{answer: down}
		r := startDiscovery(t, n, s)
		<-time.After(2 * time.Minute)
		n.setAnswer(hang)
		if took, status := r.timedStatus(t, h); status != http.StatusServiceUnavailable || took < 2*time.Second || took > 3*time.Second {
			t.Errorf("status %d after %v", status, took)
		}
		if took, status := r.timedStatus(t, h); status != http.StatusServiceUnavailable || took > time.Second {
			t.Errorf("second call: status %d after %v", status, took) // the fetch may have begun after the first
		}
		n.setAnswer(down)
		<-time.After(time.Minute)
		r.flood(t, time.Minute) // spends the budget
		var longest time.Duration
		for range 60 {
			took, status := r.timedStatus(t, h)
			if longest = max(longest, took); status != http.StatusServiceUnavailable {
				t.Errorf("status %d", status)
			}
			<-time.After(time.Second)
		}
		if longest > 3*time.Second {
			t.Errorf("a call took %v", longest)
		}
	})
}

// At most 256 calls of an issuer wait at a time. The others are answered with 503 at once.
func TestWaitingCallsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := svcauthtest.NewIssuer(t, shop)
		r := startDiscovery(t, &network{answer: hang}, s)
		requests := forgedKids(t, herald, 300)
		start := time.Now()
		var mu sync.Mutex
		atOnce := 0
		var calls sync.WaitGroup
		for _, req := range requests {
			calls.Go(func() {
				status := statusOf(r.verifier, req)
				mu.Lock()
				defer mu.Unlock()
				if status != http.StatusServiceUnavailable {
					t.Errorf("status %d", status)
				}
				if time.Since(start) == 0 {
					atOnce++
				}
			})
		}
		synctest.Wait()
		r.expect(t, http.StatusOK, s)
		calls.Wait()
		if atOnce != len(requests)-256 {
			t.Errorf("%d calls were answered at once", atOnce)
		}
	})
}

// publishFor makes the network answer at each host with the keys of that issuer.
func (n *network) publishFor(sets map[string]keySet) {
	n.setAnswer(func(r *http.Request) (*http.Response, error) {
		recorder := httptest.NewRecorder()
		keys.Handler(sets["https://"+r.URL.Host+"/"]).ServeHTTP(recorder, r)
		res := recorder.Result()
		res.Header.Set("Cache-Control", "max-age=60")
		return res, nil
	})
}

// expectBy checks the status that the verifier answers to a read in the issuer's name, signed with
// the key.
func (r *runningVerifier) expectBy(t *testing.T, status int, issuer string, key *keys.Private) {
	t.Helper()
	signer := newSigner(t, func(c *svcauth.SignerConfig) { c.Issuer, c.Key = issuer, key })
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, census+"user/42/", nil)
	if err := signer.Sign(req, census, user21); err != nil {
		t.Fatal(err)
	}
	if got := statusOf(r.verifier, req); got != status {
		t.Errorf("status %d for %s, want %d", got, issuer, status)
	}
}

// A key that a key file gives to one issuer is skipped in the set that another issuer publishes.
func TestFetchedKeyOfFile(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		n := &network{}
		n.publish("max-age=60", h, s)
		r := startDiscovery(t, n, s)
		r.expect(t, http.StatusOK, h, s)
		r.expectBy(t, http.StatusUnauthorized, herald, s.Key)
		<-time.After(5 * time.Minute)
		r.expect(t, http.StatusOK, h, s)
		r.expectBy(t, http.StatusUnauthorized, herald, s.Key)
		r.expectLogged(t, 1, "key skipped")
		r.expectLogged(t, 1, `the key `+s.Key.ID()+` is that of the issuer \"https://shop.service/\" too`)
		if set := r.verifier.Stats().KeySets[0]; set.Keys != 1 || set.Skipped != 1 || set.Cause != "" {
			t.Errorf("key set %+v", set)
		}
	})
}

// startTwoDiscoveries returns a verifier that discovers the keys of herald and of another.
func startTwoDiscoveries(t *testing.T, n *network) *runningVerifier {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trust.yaml")
	writeTrust(t, file, svcauthtest.NewIssuer(t, shop))
	addDiscovery(t, file, herald)
	addDiscovery(t, file, another)
	return n.startVerifier(t, file)
}

// A key that two issuers publish belongs to the one that published it first. So a copied key
// disables nobody and gives nobody rights. It belongs to the other issuer once the first no longer
// publishes it.
func TestFetchedKeyOfAnotherSet(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, a := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, another)
		n := &network{}
		n.publishFor(map[string]keySet{herald: {h.Key}, another: {a.Key}})
		r := startTwoDiscoveries(t, n)
		r.expect(t, http.StatusOK, h, a)

		n.publishFor(map[string]keySet{herald: {h.Key}, another: {a.Key, h.Key}})
		<-time.After(5 * time.Minute)
		r.expect(t, http.StatusOK, h, a)
		r.expectBy(t, http.StatusUnauthorized, another, h.Key)
		r.expectLogged(t, 1, "key skipped")

		n.publishFor(map[string]keySet{another: {a.Key, h.Key}})
		<-time.After(3 * time.Minute)
		r.expect(t, http.StatusUnauthorized, h)
		r.expect(t, http.StatusOK, a)
		r.expectBy(t, http.StatusOK, another, h.Key)
	})
}

// A key that is in two sets when they are first fetched belongs to one of the issuers.
func TestFetchedKeyInTwoSets(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := svcauthtest.NewIssuer(t, herald)
		n := &network{}
		n.publishFor(map[string]keySet{herald: {h.Key}, another: {h.Key}})
		r := startTwoDiscoveries(t, n)
		<-time.After(time.Second)
		sets := r.verifier.Stats().KeySets
		if len(sets) != 2 || sets[0].Keys+sets[1].Keys != 1 || sets[0].Skipped+sets[1].Skipped != 1 {
			t.Fatalf("key sets %+v", sets)
		}
		for _, set := range sets {
			status := http.StatusUnauthorized
			if set.Keys == 1 {
				status = http.StatusOK
			}
			r.expectBy(t, status, set.Issuer, h.Key)
		}
	})
}

// When the trust file changes, the keys in its key files belong to their issuers at once, and the
// keys of issuers that it no longer names can belong to others.
func TestReloadMovesKeys(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, a, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, another), svcauthtest.NewIssuer(t, shop)
		n := &network{}
		n.publishFor(map[string]keySet{herald: {h.Key, s.Key}, another: {a.Key}})
		r := startTwoDiscoveries(t, n)
		r.expect(t, http.StatusOK, h, a)
		r.expectBy(t, http.StatusOK, herald, s.Key)

		writeTrust(t, r.file, s) // has the key in a file
		addDiscovery(t, r.file, herald)
		addDiscovery(t, r.file, another)
		r.awaitReload()
		r.expect(t, http.StatusOK, h, a, s)
		r.expectBy(t, http.StatusUnauthorized, herald, s.Key)
		r.expectLogged(t, 1, "key skipped")
		<-time.After(3 * time.Minute)
		r.expectLogged(t, 1, "key skipped")

		n.publishFor(map[string]keySet{herald: {h.Key, s.Key}, another: {a.Key, h.Key}})
		<-time.After(3 * time.Minute)
		r.expectBy(t, http.StatusUnauthorized, another, h.Key)
		writeTrust(t, r.file, s) // without herald
		addDiscovery(t, r.file, another)
		r.awaitReload()
		<-time.After(3 * time.Minute)
		r.expect(t, http.StatusUnauthorized, h)
		r.expectBy(t, http.StatusOK, another, h.Key)
	})
}
