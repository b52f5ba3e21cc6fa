package svcauth_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// newSignerAndVerifier returns a signer of herald and a verifier of census that trusts it. The
// trust policy is made in Go.
func newSignerAndVerifier(t *testing.T, profile trust.Profile) (*svcauth.Signer, *svcauth.Verifier) {
	t.Helper()
	key := generateKey(t, keys.EdDSA)
	policy, err := trust.New(trust.Issuer{
		Name: herald, Profile: profile, PublicKeys: []keys.Public{key.Public()}, Sessions: true,
		Allow: []string{"POST /jobs/*", "GET /jobs/*"}, ActFor: []string{census + "user/*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, Trust: policy, Replay: svcauth.NewMemoryReplay(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	return newSigner(t, func(c *svcauth.SignerConfig) { c.Key, c.Profile = key, profile }), verifier
}

func job(body string) svcauth.Call {
	return svcauth.Call{Method: http.MethodPost, URL: census + "jobs/mail?high", Body: []byte(body), Subject: user21}
}

func refusedBy(err error) svcauth.Check {
	if refusal, ok := errors.AsType[*svcauth.Refusal](err); ok {
		return refusal.Check
	}
	return ""
}

// A call that is not an HTTP request is subject to all checks of a request: body, method, URL and
// replay included.
func TestCall(t *testing.T) {
	t.Parallel()
	for _, profile := range []trust.Profile{trust.Bound, trust.Article} {
		signer, verifier := newSignerAndVerifier(t, profile)
		sign := func() string {
			token, err := signer.SignCall(t.Context(), census, job("work"))
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		for _, tt := range []struct {
			name   string
			change func(*svcauth.Call)
			check  svcauth.Check
			bound  bool // only bound tokens refuse it
		}{
			{"body", func(c *svcauth.Call) { c.Body = []byte("other") }, svcauth.CheckBody, false},
			{"no body", func(c *svcauth.Call) { c.Body = nil }, svcauth.CheckBody, false},
			{"method", func(c *svcauth.Call) { c.Method = http.MethodGet }, svcauth.CheckRequest, true},
			{"path", func(c *svcauth.Call) { c.URL = census + "jobs/sms?high" }, svcauth.CheckRequest, true},
			{"query", func(c *svcauth.Call) { c.URL = census + "jobs/mail" }, svcauth.CheckRequest, true},
			{"host", func(c *svcauth.Call) { c.URL = herald + "jobs/mail?high" }, svcauth.CheckRequest, true},
			{"spaces", func(c *svcauth.Call) { c.URL = census + "jobs/ mail" }, svcauth.CheckRequest, true},
			{"no URL", func(c *svcauth.Call) { c.URL = "" }, svcauth.CheckRequest, true},
		} {
			call := job("work")
			tt.change(&call)
			_, err := verifier.VerifyCall(t.Context(), sign(), call)
			if got := refusedBy(err); got != tt.check && (profile == trust.Bound || !tt.bound) {
				t.Errorf("%s, %s: refused by %q, want %q", profile, tt.name, got, tt.check)
			}
			if profile == trust.Article && slices.Contains([]string{"host", "spaces", "no URL"}, tt.name) && refusedBy(err) != svcauth.CheckAllow {
				t.Errorf("%s, %s: %v", profile, tt.name, err)
			}
		}
		token := sign()
		id, err := verifier.VerifyCall(t.Context(), token, job("work"))
		if err != nil || id.Caller.Issuer != herald || id.Subject != user21 || id.Claims != nil {
			t.Errorf("%s: %+v, %v", profile, id, err)
		}
		if _, err := verifier.VerifyCall(t.Context(), token, job("work")); refusedBy(err) != svcauth.CheckReplay {
			t.Errorf("%s, again: %v", profile, err)
		}
	}
}

// A token that cannot be read is refused by the same checks as one in a header.
func TestCallForm(t *testing.T) {
	t.Parallel()
	_, verifier := newSignerAndVerifier(t, trust.Bound)
	for token, want := range map[string]svcauth.Check{
		"": svcauth.CheckEncoding, "a.b.c": svcauth.CheckEncoding, "e30.e30.AAAA": svcauth.CheckIssuer,
		strings.Repeat("x", 8<<10+1): svcauth.CheckHeader,
	} {
		if _, err := verifier.VerifyCall(t.Context(), token, job("")); refusedBy(err) != want {
			t.Errorf("%.10q: %v, want %s", token, err, want)
		}
	}
}

// A call whose token no receiver would accept is an error.
func TestSignCallRefuses(t *testing.T) {
	t.Parallel()
	signer, _ := newSignerAndVerifier(t, trust.Bound)
	for _, tt := range []struct {
		want   string
		change func(*svcauth.Call)
	}{
		{"no method", func(c *svcauth.Call) { c.Method = "" }},
		{"no subject", func(c *svcauth.Call) { c.Subject = "" }},
		{"not to " + census, func(c *svcauth.Call) { c.URL = herald }},
		{"not to " + census, func(c *svcauth.Call) { c.URL = "jobs" }},
		{"parse", func(c *svcauth.Call) { c.URL = census + "%zz" }},
		{"not in the form in which it is sent", func(c *svcauth.Call) { c.URL = census + "jobs/ a" }},
		{"not in the form in which it is sent", func(c *svcauth.Call) { c.URL = census + "jobs/a#b" }},
	} {
		call := job("")
		tt.change(&call)
		if _, err := signer.SignCall(t.Context(), census, call); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
	if _, err := signer.SignCall(t.Context(), "census", job("")); err == nil || !strings.Contains(err.Error(), "audience") {
		t.Errorf("audience: %v", err)
	}
}

func raw(value string) json.RawMessage { return json.RawMessage(value) }

// A caller's own claims reach the handler as they were signed: in a request, in a call and in a
// session token, also if the token is cached.
func TestClaims(t *testing.T) {
	t.Parallel()
	signer, verifier := newSignerAndVerifier(t, trust.Bound)
	claims := svcauth.Claims{"tenant": raw(`"blue"`), "roles": raw(`["a", {"b":1}]`), "ünï\"": raw(`null`)}
	check := func(got svcauth.Claims) {
		t.Helper()
		if len(got) != len(claims) {
			t.Errorf("claims %s", got)
		}
		for name, want := range claims {
			if string(got[name]) != string(want) {
				t.Errorf("%s is %s, want %s", name, got[name], want)
			}
		}
	}
	call := job("work")
	call.Claims = claims
	token, err := signer.SignCall(t.Context(), census, call)
	if err != nil {
		t.Fatal(err)
	}
	id, err := verifier.VerifyCall(t.Context(), token, call)
	if err != nil {
		t.Fatal(err)
	}
	check(id.Claims)

	ctx := svcauth.WithClaims(t.Context(), claims)
	read := httptest.NewRequest(http.MethodGet, census+"jobs/mail", nil).WithContext(ctx)
	if err := signer.Sign(read, census, herald); err != nil {
		t.Fatal(err)
	}
	session, err := signer.SessionToken(ctx, census, herald+"user/21/")
	if err != nil {
		t.Fatal(err)
	}
	inSession := httptest.NewRequest(http.MethodGet, census+"jobs/mail", nil)
	inSession.Header.Set(svcauth.Header, session)
	for _, req := range []*http.Request{read, read, inSession, inSession} { // the second time from the cache
		passed, err := verifier.Verify(req, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := svcauth.ClaimsFrom(passed.Context())
		check(got)
		got["tenant"][1], got["other"] = 'X', raw("1") // the claims are the handler's own copy
	}
	if got := svcauth.ClaimsFrom(t.Context()); got != nil {
		t.Errorf("claims %s without a request", got)
	}
}

// Claims in the context of a request are not signed into the calls that its handler makes.
func TestClaimsAreNotForwarded(t *testing.T) {
	t.Parallel()
	signer, verifier := newSignerAndVerifier(t, trust.Bound)
	ctx := svcauth.WithClaims(t.Context(), svcauth.Claims{"tenant": raw("1")})
	first := httptest.NewRequest(http.MethodGet, census+"jobs/mail", nil).WithContext(ctx)
	if err := signer.Sign(first, census, herald); err != nil {
		t.Fatal(err)
	}
	received := httptest.NewRequest(http.MethodGet, census+"jobs/mail", nil)
	received.Header = first.Header
	passed, err := verifier.Verify(received, 0)
	if err != nil {
		t.Fatal(err)
	}
	next := httptest.NewRequest(http.MethodGet, census+"jobs/mail", nil).WithContext(passed.Context())
	if err := signer.Sign(next, census, herald); err != nil {
		t.Fatal(err)
	}
	if _, claims := tokenOf(t, next.Header.Get(svcauth.Header)); claims["tenant"] != nil {
		t.Errorf("claims %v", claims)
	}
}

// Claims that could be taken for registered claims, or that receivers cannot read, are not signed.
// The error names the claim.
func TestClaimsRefused(t *testing.T) {
	t.Parallel()
	signer, _ := newSignerAndVerifier(t, trust.Bound)
	many := svcauth.Claims{}
	for i := range svcauth.MaxClaims + 1 {
		many[fmt.Sprint("claim", i)] = raw("1")
	}
	type refused struct {
		claims svcauth.Claims
		want   string
	}
	table := []refused{
		{svcauth.Claims{"tenant": raw(``)}, `claim "tenant"`},
		{svcauth.Claims{"tenant": nil}, `claim "tenant"`},
		{svcauth.Claims{"tenant": raw(`blue`)}, `claim "tenant"`},
		{svcauth.Claims{"tenant": raw(`1,"iss":"https://evil.service/"`)}, `claim "tenant"`},
		{svcauth.Claims{"tenant": raw(`1}{`)}, `claim "tenant"`},
		{svcauth.Claims{"tenant": raw(`{"a":1,"a":2}`)}, `claim "tenant"`},
		{svcauth.Claims{"tenant": raw("\"\xff\"")}, `claim "tenant"`},
		{svcauth.Claims{"ten\xffant": raw("1")}, `claim "ten`},
		{many, "33 claims"},
		{svcauth.Claims{"tenant": raw(`"` + strings.Repeat("x", svcauth.MaxClaimsBytes) + `"`)}, "bytes of claims"},
	}
	for _, name := range []string{"iss", "aud", "sub", "iat", "nbf", "exp", "jti", "htm", "htu", "bdy", "ISS", "Aud", "ſub"} {
		table = append(table, refused{svcauth.Claims{name: raw("1")}, `the name is reserved`})
	}
	for _, tt := range table {
		ctx := svcauth.WithClaims(t.Context(), tt.claims)
		call := job("")
		call.Claims = tt.claims
		_, callErr := signer.SignCall(t.Context(), census, call)
		_, sessionErr := signer.SessionToken(ctx, census, herald+"user/21/")
		req := httptest.NewRequest(http.MethodGet, census+"jobs/mail", nil).WithContext(ctx)
		for _, err := range []error{callErr, sessionErr, signer.Sign(req, census, herald)} {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%.80s: error %v, want %q", fmt.Sprint(tt.claims), err, tt.want)
			}
		}
	}
}

// A verifier refuses tokens with more claims, or longer ones, than the bounds.
func TestClaimsBounds(t *testing.T) {
	w := newWorld(t)
	fill := func(n, size int) mutation {
		return func(c *call) {
			for i := range n {
				c.claims.set(fmt.Sprintf("x%02d", i), quote(strings.Repeat("y", size-5)))
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change mutation
		passes bool
	}{
		{"maximum number", fill(svcauth.MaxClaims, 10), true},
		{"one claim more", fill(svcauth.MaxClaims+1, 10), false},
		{"maximum length", fill(4, svcauth.MaxClaimsBytes/4), true},
		{"one byte more", all(fill(4, svcauth.MaxClaimsBytes/4), addClaim("", "1")), false},
	} {
		c := boundRead(t, w)
		tt.change(c)
		c.sign()
		a := c.send()
		if tt.passes != (a.status == http.StatusOK) || !tt.passes && (a.refusal == nil || a.refusal.Check != svcauth.CheckJSON) {
			t.Errorf("%s: status %d, %v", tt.name, a.status, a.refusal)
		}
	}
}

// An hsm is a signer whose key is not one of the in-memory types.
type hsm struct{ ed25519.PrivateKey }

// A silentSigner does not answer until it is released.
type silentSigner struct {
	ed25519.PrivateKey
	release chan struct{}
}

func (s *silentSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	<-s.release
	return nil, errors.New("too late")
}

// A key that is not in memory signs tokens. Signing ends with the context of the call.
func TestSignWithKeyNotInMemory(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.FromSigner(&hsm{private})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := trust.New(trust.Issuer{Name: herald, PublicKeys: []keys.Public{key.Public()}, Allow: []string{"POST /jobs/*"}, ActFor: []string{census + "user/*"}})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{Audience: census, Trust: policy, Replay: svcauth.NewMemoryReplay()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	signer := newSigner(t, func(c *svcauth.SignerConfig) { c.Key = key })
	token, err := signer.SignCall(t.Context(), census, job("work"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.VerifyCall(t.Context(), token, job("work")); err != nil {
		t.Error(err)
	}
	release := make(chan struct{})
	defer close(release)
	silent, err := keys.FromSigner(&silentSigner{private, release})
	if err != nil {
		t.Fatal(err)
	}
	signer = newSigner(t, func(c *svcauth.SignerConfig) { c.Key = silent })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	req := httptest.NewRequest(http.MethodPost, census+"jobs/mail", nil).WithContext(ctx)
	if err := signer.Sign(req, census, herald); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
