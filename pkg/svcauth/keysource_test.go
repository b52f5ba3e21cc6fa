package svcauth_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
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

// A publisher is an issuer that publishes its key set over TLS. Census discovers the set.
type publisher struct {
	*httptest.Server
	issuer   string
	fetches  atomic.Int32
	answer   atomic.Pointer[http.Handler]
	log      logBuffer // the verifier's
	refusals atomic.Pointer[refusal]
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		if r.URL.Path != "/"+keys.JWKSPath {
			t.Errorf("fetched %s", r.URL)
		}
		(*p.answer.Load()).ServeHTTP(w, r)
	}))
	p.start(t)
	return p
}

func (p *publisher) start(t *testing.T) {
	t.Helper()
	p.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of clients that hang up
	p.StartTLS()
	t.Cleanup(p.Close)
	p.issuer = p.URL + "/"
}

func (p *publisher) setAnswer(h http.Handler) { p.answer.Store(&h) }

func (p *publisher) publish(published ...*keys.Private) {
	p.setAnswer(keys.Handler(keySet(published)))
}

// discover returns a verifier that discovers the publisher's keys.
func (p *publisher) discover(t *testing.T, more string) *svcauth.Verifier {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trust.yaml")
	writeFile(t, file, []byte("issuers:\n  - issuer: "+p.issuer+"\n    keys: discover\n    allow: [GET /user/*]\n"+more))
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, TrustFile: file, Replay: svcauth.NewMemoryReplay(), HTTPClient: p.Client(),
		Logger: slog.New(refusalHandler{slog.NewTextHandler(&p.log, nil), func(r *refusal) { p.refusals.Store(r) }}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	return verifier
}

// signedBy returns a read by the publisher for itself, signed with the key.
func (p *publisher) signedBy(t *testing.T, key *keys.Private) *http.Request {
	t.Helper()
	signer := newSigner(t, func(c *svcauth.SignerConfig) { c.Issuer, c.Key = p.issuer, key })
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, census+"user/42/", nil)
	if err := signer.Sign(req, census, svcauth.Subject(p.issuer)); err != nil {
		t.Fatal(err)
	}
	return req
}

// statusOf returns the status that a verifier answers to a read.
func statusOf(verifier *svcauth.Verifier, req *http.Request) int {
	res := httptest.NewRecorder()
	verifier.Require(0)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(res, req)
	return res.Code
}

// eventually waits until a request gets a status, and returns how long that took.
func eventually(t *testing.T, status int, request func() int) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		got := request()
		if got == status {
			break
		}
		if time.Since(start) > 5*time.Second {
			t.Fatalf("status %d after 5 s, want %d", got, status)
		}
	}
	return time.Since(start)
}

// forgedKids returns reads in an issuer's name with made-up key IDs.
func forgedKids(t *testing.T, issuer string, n int) []*http.Request {
	t.Helper()
	other := newForger(t, keys.EdDSA)
	requests := make([]*http.Request, 0, n)
	for i := range n {
		c := newCall(t, &world{now: time.Now()}, issuer, other, "svcauth+jwt")
		to(http.MethodGet, "/user/42/")(c)
		header("kid", quote(fmt.Sprint("made-up-", i)))(c)
		c.sign()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, census+"user/42/", nil)
		req.Header.Set(svcauth.Header, c.token)
		requests = append(requests, req)
	}
	return requests
}

// A flood of made-up key IDs causes one fetch. A rotation right after it is picked up within a
// second.
func TestUnknownKidFlood(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	before, after := generateKey(t, keys.EdDSA), generateKey(t, keys.EdDSA)
	p.publish(before)
	verifier := p.discover(t, "")
	if status := statusOf(verifier, p.signedBy(t, before)); status != http.StatusOK {
		t.Fatalf("status %d for the published key", status)
	}
	fetched := p.fetches.Load()

	const clients, each = 50, 20
	requests := forgedKids(t, p.issuer, clients*each)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for _, req := range requests[i*each : (i+1)*each] {
				if status := statusOf(verifier, req); status != http.StatusUnauthorized {
					t.Errorf("status %d for a made-up kid", status)
				}
			}
		})
	}
	all.Wait()
	if status := statusOf(verifier, p.signedBy(t, before)); status != http.StatusOK {
		t.Errorf("status %d for the published key in the flood", status)
	}
	if extra := p.fetches.Load() - fetched; extra > 1 {
		t.Errorf("%d fetches for %d made-up kids", extra, len(requests))
	}

	p.publish(before, after)
	rotated := p.signedBy(t, after)
	if took := eventually(t, http.StatusOK, func() int { return statusOf(verifier, rotated) }); took > time.Second {
		t.Errorf("the new key was picked up after %v", took)
	}
	if status := statusOf(verifier, p.signedBy(t, before)); status != http.StatusOK {
		t.Errorf("status %d for the key before", status)
	}
	p.publish(after)
	retired := p.signedBy(t, before)
	for _, req := range forgedKids(t, p.issuer, 1) {
		eventually(t, http.StatusUnauthorized, func() int { statusOf(verifier, req); return statusOf(verifier, retired) })
	}
}

// Only a token with the name of a known issuer and an unknown kid causes a fetch.
func TestNoFetch(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	key := generateKey(t, keys.EdDSA)
	p.publish(key)
	verifier := p.discover(t, "")
	good := p.signedBy(t, key)
	statusOf(verifier, good)
	<-time.After(1100 * time.Millisecond) // from now on an unknown kid would cause a fetch
	fetched := p.fetches.Load()

	forged := forgedKids(t, "https://evil.service/", 20)
	for range 20 {
		bad := good.Clone(t.Context())
		compact := good.Header.Get(svcauth.Header)
		bad.Header.Set(svcauth.Header, compact[:len(compact)-8]+"AAAAAAAA")
		forged = append(forged, bad)
	}
	for _, req := range forged {
		if status := statusOf(verifier, req); status != http.StatusUnauthorized {
			t.Errorf("status %d", status)
		}
	}
	<-time.After(200 * time.Millisecond) // a fetch would have begun by now
	if n := p.fetches.Load(); n != fetched {
		t.Errorf("%d fetches", n-fetched)
	}
}

// The good keys of a set are used although others are bad. The log says which keys were skipped,
// without their private values.
func TestBadKeyAmongGood(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	key := generateKey(t, keys.EdDSA)
	set, err := keys.MarshalJWKS(key)
	if err != nil {
		t.Fatal(err)
	}
	bad := `{"keys":[{` + goodX + `,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"},{"kty":"oct","k":"c2VjcmV0"},`
	p.setAnswer(staticJWKS(bytes.Replace(set, []byte(`{"keys":[`), []byte(bad), 1)))
	verifier := p.discover(t, "")
	if status := statusOf(verifier, p.signedBy(t, key)); status != http.StatusOK {
		t.Errorf("status %d for the good key", status)
	}
	log := p.log.String()
	if !strings.Contains(log, "key 0 of the JWK Set") || !strings.Contains(log, "key 1 of the JWK Set") || !strings.Contains(log, p.issuer) {
		t.Errorf("log %s", log)
	}
	if strings.Contains(log, "nWGxne") || strings.Contains(log, "c2VjcmV0") {
		t.Errorf("the log holds a private key: %s", log)
	}
}

func staticJWKS(set []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }
}

// If a key set cannot be fetched, calls are answered with 503, not 401. Redirects are not followed.
func TestNoKeySet(t *testing.T) {
	t.Parallel()
	key := generateKey(t, keys.EdDSA)
	set, err := keys.MarshalJWKS(key)
	if err != nil {
		t.Fatal(err)
	}
	var visited atomic.Int32
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visited.Add(1)
		_, _ = w.Write(set)
	}))
	t.Cleanup(elsewhere.Close)
	var streamed atomic.Int64
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // in the log
	}{
		{"redirect to another host", redirectTo(elsewhere.URL + "/" + keys.JWKSPath), "status 307"},
		{"redirect to itself", redirectTo("/keys.json"), "status 307"},
		{"error", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, string(set), http.StatusInternalServerError)
		}, "status 500"},
		{"not found", http.NotFound, "status 404"},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "status 204"},
		{"empty", staticJWKS(nil), "parsing JWK Set"},
		{"HTML", staticJWKS([]byte("<!doctype html>")), "parsing JWK Set"},
		{"cut short", staticJWKS(set[:len(set)-1]), "parsing JWK Set"},
		{"just over the limit", staticJWKS(append(set, bytes.Repeat([]byte(" "), 256<<10)...)), "a key set of over 262144 bytes"},
		{"100 MB", func(w http.ResponseWriter, _ *http.Request) {
			for chunk := bytes.Repeat([]byte(" "), 1<<16); streamed.Load() < 100<<20; streamed.Add(1 << 16) {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, "a key set of over 262144 bytes"},
		{"10,000 keys", staticJWKS([]byte(`{"keys":[` + strings.Repeat("{},", 9999) + `{}]}`)), "a JWK Set of 10000 keys"},
		{"connection closed", func(_ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, "fetching: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t)
			p.setAnswer(tt.answer)
			verifier := p.discover(t, "")
			if status := statusOf(verifier, p.signedBy(t, key)); status != http.StatusServiceUnavailable {
				t.Errorf("status %d", status)
			}
			if refusal := p.refusals.Load(); refusal == nil || refusal.Check != svcauth.CheckKey {
				t.Errorf("refusal %v", refusal)
			}
			if log := p.log.String(); !strings.Contains(log, tt.want) {
				t.Errorf("log %s", log)
			}
			if streamed.Load() > 20<<20 {
				t.Errorf("%d bytes were read", streamed.Load())
			}
		})
	}
	t.Cleanup(func() {
		if visited.Load() > 0 {
			t.Error("a redirect was followed")
		}
	})
}

func redirectTo(url string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusTemporaryRedirect) }
}

// The key set of a server whose certificate is for another name is not used.
func TestWrongCertificate(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	key := generateKey(t, keys.EdDSA)
	p.publish(key)
	p.issuer = strings.Replace(p.issuer, "127.0.0.1", "localhost", 1)
	verifier := p.discover(t, "")
	if status := statusOf(verifier, p.signedBy(t, key)); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	if log := p.log.String(); !strings.Contains(log, "x509: ") {
		t.Errorf("log %s", log)
	}
}

// The algorithms of a trust entry apply to published keys, too.
func TestPublishedKeyOfAlgorithmLeftOut(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	ed, ec := generateKey(t, keys.EdDSA), generateKey(t, keys.ES256)
	p.publish(ed, ec)
	verifier := p.discover(t, "    algorithms: [ES256]\n")
	if status := statusOf(verifier, p.signedBy(t, ec)); status != http.StatusOK {
		t.Errorf("status %d for ES256", status)
	}
	if status := statusOf(verifier, p.signedBy(t, ed)); status != http.StatusUnauthorized || p.refusals.Load().Check != svcauth.CheckKey {
		t.Errorf("status %d for EdDSA", status)
	}
}

// Fetching leaves no connection open, which would outlive the verifier.
func TestFetchClosesConnection(t *testing.T) {
	t.Parallel()
	key := generateKey(t, keys.EdDSA)
	closed := make(chan struct{}, 10)
	p := &publisher{Server: httptest.NewUnstartedServer(keys.Handler(key))}
	p.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	p.start(t)
	verifier := p.discover(t, "")
	if status := statusOf(verifier, p.signedBy(t, key)); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	select {
	case <-closed:
	case <-time.After(2 * time.Second):
		t.Error("the connection is still open")
	}
}

// A verifier discovers the key set that keys.Handler serves at keys.JWKSPath.
func TestDiscoveryOfHandler(t *testing.T) {
	t.Parallel()
	issuer := svcauthtest.NewIssuer(t, herald)
	mux := http.NewServeMux()
	mux.Handle("GET /"+keys.JWKSPath, keys.Handler(issuer.Key))
	server := newTLSServer(t, "herald.service", mux)
	file := filepath.Join(t.TempDir(), "trust.yaml")
	writeFile(t, file, []byte("issuers: [{issuer: https://herald.service/, keys: discover, allow: [GET /user/*]}]"))
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, TrustFile: file, Replay: svcauth.NewMemoryReplay(), HTTPClient: server.client(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	req := httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
	issuer.Sign(t, req, census, herald)
	if status := statusOf(verifier, req); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}
