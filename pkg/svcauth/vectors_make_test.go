package svcauth_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// The services of the test vectors. They are not the names of the project's own services: these
// names are signed, and the services may be renamed.
const (
	vectorReceiver = "https://herald.example/"
	vectorShop     = "https://shop.example/"    // bound tokens, a key of each algorithm
	vectorAnother  = "https://another.example/" // article tokens
	vectorLogin    = "https://census.example/"  // session tokens
)

const (
	vectorNow  = 1767225600 // 2026-01-01T00:00:00Z
	vectorUser = vectorLogin + "user/21/"
	vectorBody = `{"user":"https://census.example/user/42/","type":"welcome-message"}`
)

// A vector is what a case of the file is made from: a valid call, and a change to it that may be
// nil.
type vector struct {
	name   string
	valid  kind
	change mutation
	after  string // the name of the case whose call comes first
}

// A refusedGroup is vectors that one check refuses with one status.
type refusedGroup struct {
	check   svcauth.Check
	status  int
	vectors []vector
}

// makeVectors returns the content of the file.
func makeVectors(t *testing.T) *vectorFile {
	t.Helper()
	w := &world{
		now:    time.Unix(vectorNow, 0),
		shopEd: newFixedForger(t, keys.EdDSA, "shop"), shopEC: newFixedForger(t, keys.ES256, "shop"),
		shopRSA: newFixedForger(t, keys.RS256, "shop"),
		another: newFixedForger(t, keys.EdDSA, "another"), login: newFixedForger(t, keys.EdDSA, "census"),
	}
	calls := []string{"GET /notification/*", "POST /notification/"}
	users := []string{vectorLogin + "user/*"}
	file := &vectorFile{
		Description: "Test vectors for callers and receivers of svcauth in other languages. README.md describes them.",
		Receiver:    vectorReceiver,
		Now:         vectorNow,
		Keys: []vectorKey{
			w.shopEd.vector(t, vectorShop), w.shopEC.vector(t, vectorShop), w.shopRSA.vector(t, vectorShop),
			w.another.vector(t, vectorAnother), w.login.vector(t, vectorLogin),
		},
		Trust: []vectorTrust{
			{Issuer: vectorShop, Profile: "bound", Allow: calls, ActFor: users},
			{Issuer: vectorAnother, Profile: "article", Allow: calls, ActFor: users},
			{Issuer: vectorLogin, Sessions: true},
		},
	}
	for _, v := range acceptedVectors() {
		c, built := v.build(t, w)
		built.Accept = acceptedAs(t, c)
		file.Cases = append(file.Cases, built)
	}
	for _, group := range refusedVectors() {
		for _, v := range group.vectors {
			_, built := v.build(t, w)
			built.Refuse = &vectorRefusal{Check: group.check, Status: group.status}
			file.Cases = append(file.Cases, built)
		}
	}
	return file
}

// build signs the call of a vector and returns it, and the case without its result.
func (v vector) build(t *testing.T, w *world) (*call, vectorCase) {
	t.Helper()
	c := v.valid(t, w)
	if v.change != nil {
		v.change(c)
	}
	c.sign()
	received := vectorCall{Method: c.method, URL: strings.TrimSuffix(vectorReceiver, "/") + c.target, Body: c.body}
	return c, vectorCase{Name: v.name, After: v.after, Call: received, Token: c.token}
}

// acceptedAs returns the identity that an accepted token must give.
func acceptedAs(t *testing.T, c *call) *vectorAccept {
	t.Helper()
	accept := &vectorAccept{Profile: "bound"}
	switch c.signer {
	case c.w.another:
		accept.Profile = "article"
	case c.w.login:
		accept.Profile = "session"
	}
	for name, text := range map[string]*string{"iss": &accept.Caller, "sub": &accept.Subject} {
		if err := json.Unmarshal([]byte(c.claims.get(name)), text); err != nil {
			t.Fatal(err)
		}
	}
	if tenant := c.claims.get("tenant"); tenant != "" {
		accept.Claims = svcauth.Claims{"tenant": json.RawMessage(tenant)}
	}
	return accept
}

// newVectorCall returns a call with the claims that each profile has.
func newVectorCall(tb testing.TB, w *world, issuer string, signer *forger, typ string) *call {
	tb.Helper()
	c := newCall(tb, w, issuer, signer, typ)
	c.target = "/notification/7/"
	c.claims.set("aud", quote(vectorReceiver))
	c.claims.set("sub", quote(vectorUser))
	c.claims.set("jti", quote("id-of-the-test-vectors-1"))
	return c
}

// vectorTo directs a bound call at another resource of the receiver.
func vectorTo(method, target string) mutation {
	return func(c *call) {
		c.method, c.target = method, target
		c.claims.set("htm", quote(method))
		c.claims.set("htu", quote(strings.TrimSuffix(vectorReceiver, "/")+target))
	}
}

// vectorGetBy returns a kind of bound read, with one of shop's keys.
func vectorGetBy(key func(*world) *forger) kind {
	return func(tb testing.TB, w *world) *call {
		tb.Helper()
		c := newVectorCall(tb, w, vectorShop, key(w), "svcauth+jwt")
		vectorTo(http.MethodGet, c.target)(c)
		return c
	}
}

func vectorGet(tb testing.TB, w *world) *call {
	tb.Helper()
	return vectorGetBy(shopEd)(tb, w)
}

func vectorPost(tb testing.TB, w *world) *call {
	tb.Helper()
	c := vectorGet(tb, w)
	vectorTo(http.MethodPost, "/notification/")(c)
	signedBody(vectorBody)(c)
	return c
}

func vectorArticleGet(tb testing.TB, w *world) *call {
	tb.Helper()
	return newVectorCall(tb, w, vectorAnother, w.another, "JWT")
}

func vectorArticlePost(tb testing.TB, w *world) *call {
	tb.Helper()
	c := vectorArticleGet(tb, w)
	c.method, c.target, c.body = http.MethodPost, "/notification/", vectorBody
	c.claims.set("bdy", quote(md5Body(vectorBody)))
	return c
}

func vectorSession(tb testing.TB, w *world) *call {
	tb.Helper()
	return newVectorCall(tb, w, vectorLogin, w.login, "session+jwt")
}
