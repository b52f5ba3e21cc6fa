package svcauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A continuous flood of made-up kids causes one fetch. A rotation during the flood is picked up all
// the same.
func TestFloodCausesOneFetch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, next, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		n := &network{}
		n.publish("max-age=900", h)
		r := startDiscovery(t, n, s)
		r.expect(t, http.StatusOK, h)
		<-time.After(time.Minute)
		began := time.Now()
		flood := forgedKids(t, herald, 2000)
		sendForged := func(n int) {
			t.Helper()
			for range n {
				if status := statusOf(r.verifier, flood[0]); status != http.StatusUnauthorized {
					t.Fatalf("status %d", status)
				}
				flood = flood[1:]
			}
		}
		for range 95 {
			sendForged(10)
			<-time.After(100 * time.Millisecond)
		}
		if fetches := n.fetches(began); fetches != 1 {
			t.Errorf("%d fetches in a flood of 9.5 s", fetches)
		}
		n.publish("max-age=900", h, next)
		rotated := time.Now()
		for r.status(t, next) != http.StatusOK {
			sendForged(10)
			<-time.After(100 * time.Millisecond)
		}
		if took := time.Since(rotated); took > time.Second {
			t.Errorf("the new key was picked up after %v", took)
		}
	})
}

// However many calls with an unknown kid come during a fetch, they cause one more fetch.
func TestSlowFetchForKid(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, next, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		var published atomic.Bool
		n := &network{answer: func(r *http.Request) (*http.Response, error) {
			<-time.After(2 * time.Second)
			set := keySet{h.Key}
			if published.Load() {
				set = append(set, next.Key)
			}
			res := httptest.NewRecorder()
			keys.Handler(set).ServeHTTP(res, r)
			return res.Result(), nil
		}}
		r := startDiscovery(t, n, s)
		r.expect(t, http.StatusOK, h)
		<-time.After(time.Minute)
		for range 500 {
			r.expect(t, http.StatusUnauthorized, next)
			<-time.After(10 * time.Millisecond)
		}
		published.Store(true)
		rotated := time.Now()
		for r.status(t, next) != http.StatusOK {
			<-time.After(10 * time.Millisecond)
		}
		if took := time.Since(rotated); took > 5*time.Second {
			t.Errorf("the new key was picked up after %v", took)
		}
	})
}

// Made-up kids that each come twice, as the kid of a rotation does, cause a few more fetches: at
// most 12 in a minute.
func TestFloodOfPairs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		n := &network{}
		n.publish("max-age=900", h)
		r := startDiscovery(t, n, s)
		r.expect(t, http.StatusOK, h)
		<-time.After(time.Minute)
		began := time.Now()
		for _, req := range forgedKids(t, herald, 600) {
			for range 2 {
				if status := statusOf(r.verifier, req); status != http.StatusUnauthorized {
					t.Fatalf("status %d", status)
				}
			}
			<-time.After(100 * time.Millisecond)
		}
		if fetches := n.fetches(began); fetches > 12 {
			t.Errorf("%d fetches in a minute", fetches)
		}
	})
}

// A caller that keeps using an unpublished key causes two fetches a minute in the long run.
func TestMissingKid(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, next, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		n := &network{}
		n.publish("max-age=900", h)
		r := startDiscovery(t, n, s)
		r.expect(t, http.StatusOK, h)
		<-time.After(time.Minute)
		fetchesIn := func(span time.Duration) int {
			t.Helper()
			began := time.Now()
			for time.Since(began) < span {
				r.expect(t, http.StatusUnauthorized, next)
				<-time.After(100 * time.Millisecond)
			}
			return n.fetches(began)
		}
		if fetches := fetchesIn(800 * time.Millisecond); fetches > 2 {
			t.Errorf("%d fetches in the first moments", fetches)
		}
		if fetches := fetchesIn(2 * time.Minute); fetches > 6 {
			t.Errorf("%d fetches in the first two minutes", fetches)
		}
		if fetches := fetchesIn(5 * time.Minute); fetches > 10 {
			t.Errorf("%d fetches in the next five minutes", fetches)
		}
	})
}

// A fault is logged once while it lasts. So are each different fault, each bad key, and the end of
// each.
func TestFaultsAreLoggedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		set, err := keys.MarshalJWKS(h.Key)
		if err != nil {
			t.Fatal(err)
		}
		n := &network{}
		answer := func(status int, body string) {
			n.setAnswer(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Status: strconv.Itoa(status), Body: io.NopCloser(strings.NewReader(body))}, nil
			})
			<-time.After(10 * time.Minute)
		}
		n.publish("", h)
		r := startDiscovery(t, n, s)
		r.expect(t, http.StatusOK, h)
		oneBad := strings.Replace(string(set), `{"keys":[`, `{"keys":[{"kty":"oct","k":"AAAA"},`, 1)

		answer(http.StatusOK, oneBad)
		r.expect(t, http.StatusOK, h)
		r.expectLogged(t, 1, "key skipped")
		answer(http.StatusOK, string(set))
		r.expectLogged(t, 1, "no key of the set is skipped any more")
		answer(http.StatusInternalServerError, "")
		r.expectLogged(t, 1, "key set cannot be fetched")
		r.expectLogged(t, 1, "status 500")
		answer(http.StatusOK, "<!doctype html>")
		r.expectLogged(t, 2, "key set cannot be fetched")
		answer(http.StatusOK, `{"KEYS":[]}`)
		r.expectLogged(t, 2, "key set cannot be fetched")
		r.expect(t, http.StatusOK, h)
		if sets := r.verifier.Stats().KeySets; len(sets) != 1 || sets[0].Fault == "" || sets[0].Keys != 1 || sets[0].Failures < 30 {
			t.Errorf("key sets %+v", sets)
		}
		n.setAnswer(down)
		<-time.After(10 * time.Minute)
		r.expectLogged(t, 3, "key set cannot be fetched")
		n.setAnswer(func(*http.Request) (*http.Response, error) {
			return nil, &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "herald.service"}}
		})
		<-time.After(10 * time.Minute)
		r.expectLogged(t, 4, "key set cannot be fetched")
		if cause := r.verifier.Stats().KeySets[0].Cause; cause != "certificate" {
			t.Errorf("cause %q", cause)
		}
		answer(http.StatusOK, string(set))
		r.expectLogged(t, 1, "key set is fetched again")
		if sets := r.verifier.Stats().KeySets; sets[0].Fault != "" || time.Since(sets[0].Fetched) > time.Minute {
			t.Errorf("key sets %+v", sets)
		}
	})
}

// While a key set cannot be fetched, a flood of calls causes about one fetch a second.
func TestFloodInOutage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		n := &network{answer: down}
		r := startDiscovery(t, n, s)
		began := time.Now()
		for range 60 {
			r.expect(t, http.StatusServiceUnavailable, h)
		}
		took := time.Since(began)
		if fetches, most := n.fetches(began), int(took/time.Second)*6/5+3; fetches > most {
			t.Errorf("%d fetches in %v", fetches, took)
		}
	})
}
