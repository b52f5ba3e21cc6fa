package svcauth_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

// The issuers whose keys Census fetches.
const (
	vault   = "https://vault.service/"   // bound tokens; its set has a good key, herald's, and RSA keys that anybody can factor
	emptied = "https://emptied.service/" // bound tokens; its one key is removed from its set
)

// publishedSets is an HTTP transport that serves key sets from memory, by host.
type publishedSets struct {
	mu   sync.Mutex
	sets map[string]string
}

func (p *publishedSets) publish(issuer string, keys ...*forger) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sets == nil {
		p.sets = map[string]string{}
	}
	jwks := make([]string, 0, len(keys))
	for _, k := range keys {
		jwks = append(jwks, k.jwk)
	}
	p.sets[strings.TrimSuffix(strings.TrimPrefix(issuer, "https://"), "/")] = `{"keys":[` + strings.Join(jwks, ",") + `]}`
}

// RoundTrip implements http.RoundTripper.
func (p *publishedSets) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(p.sets[r.URL.Host]))}, nil
}

func vaultRead(tb testing.TB, w *world) *call {
	tb.Helper()
	c := newCall(tb, w, vault, w.vault, "svcauth+jwt")
	to(http.MethodGet, readPath)(c)
	return c
}

// removedKey signs with a key that was removed from the issuer's published set, which is now empty.
func removedKey(c *call) {
	c.tb.Helper()
	stringClaim("iss", emptied)(c)
	withKey(func(w *world) *forger { return w.emptied })(c)
	status := func(kid string) int {
		probe := newCall(c.tb, c.w, emptied, c.w.emptied, "svcauth+jwt")
		to(http.MethodGet, "/user/42/")(probe)
		probe.header.set("kid", quote(kid))
		probe.sign()
		req := httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
		req.Header.Set(svcauth.Header, probe.token)
		return statusOf(c.w.verifier, req)
	}
	if got := status(c.w.emptied.kid); got != http.StatusOK {
		c.tb.Fatalf("status %d while the key is published", got)
	}
	c.w.sets.publish(emptied)
	for range 50 {
		status("made-up") // causes a fetch of the set
		if status(c.w.emptied.kid) != http.StatusOK {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	for len(c.w.refusals) > 0 {
		<-c.w.refusals
	}
}

// A factoredKey signs by RS256 with a modulus that crypto/rsa refuses.
type factoredKey struct{ n, d *big.Int }

// newFactored returns a forger with the RSA key whose modulus is factor × prime.
func newFactored(tb testing.TB, kid string, factor int64, prime *big.Int) *forger {
	tb.Helper()
	one, e := big.NewInt(1), big.NewInt(65537)
	n := new(big.Int).Mul(prime, big.NewInt(factor))
	phi := new(big.Int).Sub(prime, one)
	if factor > 1 {
		phi.Mul(phi, big.NewInt(factor-1))
	}
	d := new(big.Int).ModInverse(e, phi)
	if d == nil {
		tb.Fatal("no inverse")
	}
	jwk := `{"kty":"RSA","e":"AQAB","kid":"` + kid + `","n":"` + base64URL(n.Bytes()) + `"}`
	return &forger{alg: "RS256", key: &factoredKey{n, d}, kid: kid, jwk: jwk}
}

// sign returns the signature of RFC 8017 section 8.2.1 with SHA-256.
func (k *factoredKey) sign(input string) []byte {
	sum := sha256.Sum256([]byte(input))
	info, _ := hex.DecodeString("3031300d060960864801650304020105000420")
	size := (k.n.BitLen() + 7) / 8
	padding := strings.Repeat("\xff", size-3-len(info)-len(sum))
	message := new(big.Int).SetBytes([]byte("\x00\x01" + padding + "\x00" + string(info) + string(sum[:])))
	return message.Exp(message, k.d, k.n).FillBytes(make([]byte, size))
}

// mersenne returns 2^n - 1, which is a prime for 1279 and 2203.
func mersenne(n uint) *big.Int {
	p := new(big.Int).Lsh(big.NewInt(1), n)
	return p.Sub(p, big.NewInt(1))
}
