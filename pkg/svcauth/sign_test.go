package svcauth_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
	"example.com/micromachine/pkg/svcauth/trust"
)

// newSigner returns a signer with a new EdDSA key, whose config change may change.
func newSigner(tb testing.TB, change func(*svcauth.SignerConfig)) *svcauth.Signer {
	tb.Helper()
	config := svcauth.SignerConfig{Issuer: herald, Key: generateKey(tb, keys.EdDSA)}
	if change != nil {
		change(&config)
	}
	signer, err := svcauth.NewSigner(config)
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}

// Signed requests are accepted, with each algorithm, both profiles and sessions, with and without a
// body.
func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		for _, profile := range []trust.Profile{trust.Bound, trust.Article} {
			t.Run(string(alg)+" "+string(profile), func(t *testing.T) {
				t.Parallel()
				key := generateKey(t, alg)
				signer := newSigner(t, func(c *svcauth.SignerConfig) { c.Key, c.Profile = key, profile })
				verifier := svcauthtest.NewVerifier(t, census, svcauthtest.Trust{
					Issuer: &svcauthtest.Issuer{URL: herald, Key: key, Profile: profile}, Sessions: true,
					Allow:  []string{"GET /user/*", "OPTIONS /user/*", "POST /user/", "PUT /user/*", "DELETE /user/*"},
					ActFor: []string{"https://census.service/user/*"},
				})
				for _, call := range []struct{ method, target, body string }{
					{"GET", "user/42/?expand=a%20b&x=%2F", ""},
					{"HEAD", "user/42", ""},
					{"OPTIONS", "user/%C3%A9/", ""},
					{"GET", "user/42/", newUser},
					{"POST", "user/", newUser},
					{"PUT", "user/42/", strings.Repeat("x", 5000)},
					{"DELETE", "user/42/", ""},
				} {
					req := httptest.NewRequest(call.method, census+call.target, strings.NewReader(call.body))
					if err := signer.Sign(req, census, user21); err != nil {
						t.Fatal(err)
					}
					if got := serve(t, verifier, req); got != call.body {
						t.Errorf("%s %s: the handler read %q", call.method, call.target, got)
					}
				}
				token, err := signer.SessionToken(t.Context(), census, herald+"user/21/")
				if err != nil {
					t.Fatal(err)
				}
				req := httptest.NewRequest(http.MethodPost, census+"anything/", strings.NewReader(newUser))
				req.Header.Set(svcauth.Header, token)
				if got := serve(t, verifier, req); got != newUser {
					t.Errorf("session: the handler read %q", got)
				}
			})
		}
	}
}

// serve passes a request through a verifier and returns the body as the handler read it.
func serve(t *testing.T, verifier *svcauth.Verifier, req *http.Request) string {
	t.Helper()
	res := httptest.NewRecorder()
	var body []byte
	verifier.Require(8<<10)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
	})).ServeHTTP(res, req)
	if res.Code != http.StatusOK {
		t.Errorf("%s %s: status %d", req.Method, req.URL, res.Code)
	}
	return string(body)
}

// tokenOf returns the members of a token's header and claims.
func tokenOf(t *testing.T, compact string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		t.Fatalf("token %q", compact)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		if err := json.Unmarshal(decode64(parts[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// The tokens have the header members and claims of the design, and no others.
func TestTokenContents(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 999_999_999)
	key := generateKey(t, keys.EdDSA)
	base := map[string]any{"iss": herald, "aud": census, "sub": user21, "iat": 1.8e9, "exp": 1.8e9 + 30}
	with := func(more map[string]any) map[string]any {
		all := maps.Clone(base)
		maps.Copy(all, more)
		return all
	}
	for _, tt := range []struct {
		name         string
		profile      trust.Profile
		method, body string
		typ          string
		want         map[string]any
	}{
		{"bound read", "", "GET", "", "svcauth+jwt", with(map[string]any{"htm": "GET", "htu": user21 + "?x=1"})},
		{"bound write", trust.Bound, "POST", "{}", "svcauth+jwt", with(map[string]any{
			"htm": "POST", "htu": user21 + "?x=1", "bdy": "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
		})},
		{"bound write of nothing", trust.Bound, "DELETE", "", "svcauth+jwt", with(map[string]any{
			"htm": "DELETE", "htu": user21 + "?x=1", "bdy": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
		})},
		{"article read", trust.Article, "GET", "", "JWT", base},
		{"article write", trust.Article, "POST", "{}", "JWT", with(map[string]any{"bdy": "99914b932bd37a50b983c5e7c90ae93b"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			signer := newSigner(t, func(c *svcauth.SignerConfig) {
				c.Key, c.Profile, c.Lifetime, c.Now = key, tt.profile, 30*time.Second, func() time.Time { return now }
			})
			req := httptest.NewRequest(tt.method, user21+"?x=1", strings.NewReader(tt.body))
			req.Header.Set(svcauth.Header, "an earlier token")
			if err := signer.Sign(req, census, user21); err != nil {
				t.Fatal(err)
			}
			header, claims := tokenOf(t, req.Header.Get(svcauth.Header))
			if want := map[string]any{"alg": "EdDSA", "kid": key.ID(), "typ": tt.typ}; !maps.Equal(header, want) {
				t.Errorf("header %v, want %v", header, want)
			}
			if id, _ := claims["jti"].(string); len(decode64(id)) != 16 {
				t.Errorf("jti %q is not of 128 bits", id)
			}
			delete(claims, "jti")
			if !maps.Equal(claims, tt.want) {
				t.Errorf("claims %v, want %v", claims, tt.want)
			}
		})
	}
}

// Signing reads the body and puts it back, rewindable and with its length known.
func TestSignRestoresBody(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, nil)
	original := &watchedBody{Reader: strings.NewReader(newUser)}
	req, err := http.NewRequest(http.MethodPost, census+"user/", original)
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Sign(req, census, user21); err != nil {
		t.Fatal(err)
	}
	if !original.closed {
		t.Error("the original body was not closed")
	}
	again, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []io.Reader{req.Body, again} {
		if got, err := io.ReadAll(body); err != nil || string(got) != newUser {
			t.Errorf("body %q, %v", got, err)
		}
	}
	if req.ContentLength != int64(len(newUser)) {
		t.Errorf("ContentLength %d", req.ContentLength)
	}
}

// A watchedBody records whether it was closed.
type watchedBody struct {
	io.Reader
	closed bool
}

func (b *watchedBody) Close() error {
	b.closed = true
	return nil
}

type brokenReader struct{}

var errBroken = errors.New("broken")

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

// A request that cannot be signed as asked is not signed at all.
func TestSignRefuses(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, nil)
	for _, tt := range []struct{ name, url, audience, subject, want string }{
		{"another host", "https://shop.service/user/", census, user21, "goes to https://shop.service/user/, not to https://census.service/"},
		{"longer host", "https://census.service.evil/user/", census, user21, "not to"},
		{"host as user info", "https://census.service@evil.service/", census, user21, "not to"},
		{"user info", "https://x:secret@census.service/user/", census, user21, "goes to https://x:xxxxx@census.service/user/, not to"},
		{"another port", "https://census.service:8443/user/", census, user21, "not to"},
		{"over http", "http://census.service/user/", census, user21, "not to"},
		{"host in upper case", "https://CENSUS.service/user/", census, user21, "not to"},
		{"outside the audience's path", "https://census.service/other/", census + "api/", user21, "not to"},
		{"relative URL", "/user/", census, user21, "not to"},
		{"no subject", census, census, "", "no subject to act for"},
		{"no audience", census, "", user21, "audience"},
		{"audience without its slash", census, "https://census.service", user21, "audience"},
		{"URL too long for a token", census + strings.Repeat("x", 8<<10), census, user21, "the token would have"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequest(http.MethodGet, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = signer.Sign(req, tt.audience, svcauth.Subject(tt.subject))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if req.Header.Get(svcauth.Header) != "" {
				t.Error("the request was signed")
			}
		})
	}
	req, err := http.NewRequest(http.MethodPost, census, brokenReader{})
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Sign(req, census, user21); !errors.Is(err, errBroken) {
		t.Errorf("broken body: %v", err)
	}
}

func TestSessionToken(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	signer := newSigner(t, func(c *svcauth.SignerConfig) { c.Now = func() time.Time { return now } })
	token, err := signer.SessionToken(t.Context(), census, herald+"user/21/")
	if err != nil {
		t.Fatal(err)
	}
	header, claims := tokenOf(t, token)
	delete(claims, "jti")
	want := map[string]any{"iss": herald, "aud": census, "sub": herald + "user/21/", "iat": 1.8e9, "exp": 1.8e9 + 900}
	if header["typ"] != "session+jwt" || !maps.Equal(claims, want) {
		t.Errorf("header %v, claims %v", header, claims)
	}
	for _, tt := range []struct{ audience, user string }{
		{census, user21},
		{census, herald},
		{census, herald + "user/../1/"},
		{census, herald + "user/21/?x"},
		{census, "https://x@herald.service/user/21/"},
		{census, ""},
		{"census", herald + "user/21/"},
		{"", herald + "user/21/"},
	} {
		if _, err := signer.SessionToken(t.Context(), tt.audience, svcauth.Subject(tt.user)); err == nil {
			t.Errorf("a session token for %q at %q", tt.user, tt.audience)
		}
	}
}

// NewSigner refuses a config with a field missing or impossible, and names it.
func TestNewSignerNeeds(t *testing.T) {
	t.Parallel()
	good := svcauth.SignerConfig{Issuer: herald, Key: generateKey(t, keys.EdDSA)}
	for _, tt := range []struct {
		want   string
		change func(*svcauth.SignerConfig)
	}{
		{"issuer", func(c *svcauth.SignerConfig) { c.Issuer = "" }},
		{"issuer", func(c *svcauth.SignerConfig) { c.Issuer = "herald" }},
		{"no key", func(c *svcauth.SignerConfig) { c.Key = nil }},
		{`unknown profile "strict"`, func(c *svcauth.SignerConfig) { c.Profile = "strict" }},
		{"a lifetime of 5m1s", func(c *svcauth.SignerConfig) { c.Lifetime = 5*time.Minute + time.Second }},
		{"a lifetime of -1s", func(c *svcauth.SignerConfig) { c.Lifetime = -time.Second }},
		{"a lifetime of 1.5s", func(c *svcauth.SignerConfig) { c.Lifetime = 1500 * time.Millisecond }},
	} {
		config := good
		tt.change(&config)
		if _, err := svcauth.NewSigner(config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one that names %q", err, tt.want)
		}
	}
}

// A request that was made by hand, without a header, is signed like any other.
func TestSignWithoutHeader(t *testing.T) {
	t.Parallel()
	target, err := url.Parse(census + "user/42/")
	if err != nil {
		t.Fatal(err)
	}
	req := &http.Request{URL: target}
	if err := newSigner(t, nil).Sign(req, census, user21); err != nil || req.Header.Get(svcauth.Header) == "" {
		t.Errorf("header %v, %v", req.Header, err)
	}
}
