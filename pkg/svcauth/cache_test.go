package svcauth_test

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A heraldTest is a verifier that trusts herald, with a key and a token of herald.
type heraldTest struct {
	*runningVerifier
	key   *keys.Private
	req   *http.Request
	check svcauth.Check // of the last refusal
}

// The trust entries of herald at the start of the tests; %s stands for its keys.
const (
	boundHerald    = "issuers: [{issuer: https://herald.service/, keys: %s, allow: [GET /user/*], act_for: ['https://census.service/user/*']}]"
	noExpiryHerald = "issuers: [{issuer: https://herald.service/, keys: %s, profile: article, insecure_no_expiry: true, allow: [GET /user/*], act_for: ['https://census.service/user/*']}]"
	sessionHerald  = "issuers: [{issuer: https://herald.service/, keys: %s, sessions: true, allow: [GET /user/*]}]"
)

// newHeraldTest returns a heraldTest with this trust entry. Its token has been accepted twice, so
// that it is cached.
func newHeraldTest(t *testing.T, entry string) *heraldTest {
	t.Helper()
	f := newForger(t, keys.EdDSA)
	r := &heraldTest{runningVerifier: &runningVerifier{file: filepath.Join(t.TempDir(), "trust.yaml")}, key: loadKey(t, f.key.(crypto.Signer))}
	r.writeEntry(t, entry, r.key)
	r.runningVerifier = startVerifier(t, r.file)
	r.req = httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
	r.req.Header.Set(svcauth.Header, tokenFor(t, entry, f))
	for range 2 {
		if status := r.verify(r.req); status != http.StatusOK {
			t.Fatalf("status %d for a good token: %s", status, r.log.String())
		}
	}
	return r
}

// tokenFor returns a token of the kind that the entry accepts.
func tokenFor(t *testing.T, entry string, f *forger) string {
	t.Helper()
	c := newCall(t, &world{now: time.Now()}, herald, f, "svcauth+jwt")
	switch entry {
	case boundHerald:
		to(http.MethodGet, "/user/42/")(c)
	case noExpiryHerald:
		c.header.set("typ", quote("JWT"))
		c.claims.remove("exp")
	case sessionHerald:
		c.header.set("typ", quote("session+jwt"))
		c.claims.set("sub", quote(herald+"user/21/"))
	}
	c.sign()
	return c.token
}

// writeEntry writes the trust file with an entry for herald that has one key.
func (r *heraldTest) writeEntry(t *testing.T, entry string, key *keys.Private) {
	t.Helper()
	set, err := keys.MarshalJWKS(key)
	if err != nil {
		t.Fatal(err)
	}
	r.writeEntryWithSet(t, entry, set)
}

// writeEntryWithSet writes the trust file with an entry for herald that has a JWK Set.
func (r *heraldTest) writeEntryWithSet(t *testing.T, entry string, set []byte) {
	t.Helper()
	replaceFile(t, filepath.Join(filepath.Dir(r.file), "herald.json"), set)
	if strings.Contains(entry, "%s") {
		entry = fmt.Sprintf(entry, "herald.json")
	}
	replaceFile(t, r.file, []byte(entry))
}

// verify returns the status of a request, and notes the check that refused it.
func (r *heraldTest) verify(req *http.Request) int {
	_, err := r.verifier.Verify(req, 1<<10)
	if refusal, ok := errors.AsType[*svcauth.Refusal](err); ok {
		r.check = refusal.Check
		return refusal.Status
	}
	return http.StatusOK
}

// A cached token is checked at every use, against the clock, the trust file, the keys and the
// request as they are then.
func TestCachedTokenIsChecked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		entry  string
		change func(*testing.T, *heraldTest)
		status int
		check  svcauth.Check
	}{
		{"expired", boundHerald, func(*testing.T, *heraldTest) { <-time.After(70 * time.Second) }, 401, svcauth.CheckTime},
		{"expired session", sessionHerald, func(*testing.T, *heraldTest) { <-time.After(16 * time.Minute) }, 401, svcauth.CheckTime},
		{"no expiry is no longer allowed", noExpiryHerald, edit("insecure_no_expiry: true, ", ""), 401, svcauth.CheckTime},
		{"issuer is gone", boundHerald, edit(herald, "https://other.service/"), 401, svcauth.CheckIssuer},
		{"another profile", boundHerald, edit("allow:", "profile: article, allow:"), 401, svcauth.CheckType},
		{"sessions are no longer accepted", sessionHerald, edit("sessions: true, ", ""), 401, svcauth.CheckType},
		{"call is no longer allowed", boundHerald, edit("/user/*]", "/users/*]"), 403, svcauth.CheckAllow},
		{"subject is no longer allowed", boundHerald, edit("/user/*'", "/admin/*'"), 403, svcauth.CheckSubject},
		{"key is gone", boundHerald, func(t *testing.T, r *heraldTest) { r.writeEntry(t, boundHerald, generateKey(t, keys.EdDSA)) }, 401, svcauth.CheckKey},
		{"another key has the kid", boundHerald, underSameKid(boundHerald), 401, svcauth.CheckSignature},
		{"the only key was replaced", noExpiryHerald, underSameKid(noExpiryHerald), 401, svcauth.CheckSignature},
		{"another method", boundHerald, changeRequest(func(r *http.Request) { r.Method = http.MethodHead }), 401, svcauth.CheckRequest},
		{"another path", boundHerald, changeRequest(func(r *http.Request) { r.RequestURI = "/user/43/" }), 401, svcauth.CheckRequest},
		{"a query", boundHerald, changeRequest(func(r *http.Request) { r.RequestURI += "?a=b" }), 401, svcauth.CheckRequest},
		{"an empty query", boundHerald, changeRequest(func(r *http.Request) { r.RequestURI += "?" }), 401, svcauth.CheckRequest},
		{"another spelling of the path", boundHerald, changeRequest(func(r *http.Request) { r.RequestURI = "/user/%34%32/" }), 401, svcauth.CheckRequest},
		{"a body", boundHerald, changeRequest(func(r *http.Request) { r.ContentLength = 1 }), 401, svcauth.CheckClaims},
		{"article token for another path", noExpiryHerald, changeRequest(func(r *http.Request) { r.RequestURI = "/admin/" }), 403, svcauth.CheckAllow},
		{"article token for a write", noExpiryHerald, changeRequest(func(r *http.Request) { r.Method = http.MethodPost }), 401, svcauth.CheckClaims},
		{"two tokens", boundHerald, changeRequest(func(r *http.Request) { r.Header.Add(svcauth.Header, "x") }), 401, svcauth.CheckHeader},
		{"no change", boundHerald, func(*testing.T, *heraldTest) {}, 200, ""},
		{"a session at another path", sessionHerald, changeRequest(func(r *http.Request) { r.RequestURI = "/user/" }), 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := newHeraldTest(t, tt.entry)
				tt.change(t, r)
				r.awaitReload()
				if status := r.verify(r.req); status != tt.status || r.check != tt.check {
					t.Errorf("status %d by check %q, want %d by %q", status, r.check, tt.status, tt.check)
				}
			})
		})
	}
}

// edit replaces a text in the trust file.
func edit(from, to string) func(*testing.T, *heraldTest) {
	return func(t *testing.T, r *heraldTest) {
		t.Helper()
		text, err := os.ReadFile(r.file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte(from)) {
			t.Fatalf("no %q in %s", from, text)
		}
		replaceFile(t, r.file, bytes.ReplaceAll(text, []byte(from), []byte(to)))
	}
}

// underSameKid replaces the key by another one with the same kid.
func underSameKid(entry string) func(*testing.T, *heraldTest) {
	return func(t *testing.T, r *heraldTest) {
		t.Helper()
		other := generateKey(t, keys.EdDSA)
		set, err := keys.MarshalJWKS(other)
		if err != nil {
			t.Fatal(err)
		}
		r.writeEntryWithSet(t, entry, bytes.ReplaceAll(set, []byte(other.ID()), []byte(r.key.ID())))
	}
}

// changeRequest changes the request that carries the token.
func changeRequest(change func(*http.Request)) func(*testing.T, *heraldTest) {
	return func(_ *testing.T, r *heraldTest) { change(r.req) }
}

// Rights that the trust file grants later apply to cached tokens, too.
func TestCachedTokenGetsAdmin(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newHeraldTest(t, boundHerald)
		edit("allow:", "admin: true, allow:")(t, r)
		r.awaitReload()
		passed, err := r.verifier.Verify(r.req, 0)
		if err != nil {
			t.Fatal(err)
		}
		if caller, _ := svcauth.CallerFrom(passed.Context()); !caller.Admin {
			t.Errorf("caller %+v", caller)
		}
	})
}

// Verifying a cached token takes at most two allocations, both for the request that is passed on.
func TestCachedTokenAllocations(t *testing.T) {
	shop := svcauthtest.NewIssuer(t, shop)
	verifier := svcauthtest.NewVerifier(t, census, svcauthtest.Trust{Issuer: shop, Allow: []string{"GET /user/*"}, ActFor: []string{census + "user/*"}})
	req := httptest.NewRequest(http.MethodGet, census+"user/42/?expand=viewer", http.NoBody)
	shop.Sign(t, req, census, user21)
	verify := func() {
		if _, err := verifier.Verify(req, 0); err != nil {
			t.Fatal(err)
		}
	}
	verify()
	if allocations := testing.AllocsPerRun(100, verify); allocations > 2 {
		t.Errorf("%v allocations", allocations)
	}
}

// A verifier caches a limited number of tokens.
func TestCachedTokensAreBounded(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("signs many tokens")
	}
	shop := svcauthtest.NewIssuer(t, shop)
	verifier := svcauthtest.NewVerifier(t, census, svcauthtest.Trust{Issuer: shop, Allow: []string{"GET /user/*"}, ActFor: []string{census + "user/*"}})
	for range svcauth.MaxCachedTokens + 100 {
		req := httptest.NewRequest(http.MethodGet, census+"user/42/", http.NoBody)
		shop.Sign(t, req, census, user21)
		if _, err := verifier.Verify(req, 0); err != nil {
			t.Fatal(err)
		}
	}
	if cached := verifier.CachedTokens(); cached != svcauth.MaxCachedTokens {
		t.Errorf("%d tokens are cached, want %d", cached, svcauth.MaxCachedTokens)
	}
}
