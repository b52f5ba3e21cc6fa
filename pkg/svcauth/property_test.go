package svcauth_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
	"example.com/micromachine/pkg/svcauth/trust"
)

// A signedRequest is a request as it goes over the wire, in the parts that its token covers.
type signedRequest struct{ method, target, token, body string }

// pass parses the request as a server does and sends it through a verifier. It returns the status:
// 400 if it cannot be parsed.
func (s signedRequest) pass(verifier *svcauth.Verifier) int {
	wire := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: census.service\r\nJWT: %s\r\nContent-Length: %d\r\n\r\n%s",
		s.method, s.target, s.token, len(s.body), s.body)
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return http.StatusBadRequest
	}
	res := httptest.NewRecorder()
	verifier.Require(64<<10)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != s.body {
			w.WriteHeader(http.StatusTeapot)
		}
	})).ServeHTTP(res, req)
	return res.Code
}

var (
	methods  = rapid.SampledFrom([]string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
	segments = rapid.StringMatching(`[A-Za-z0-9_~-]{1,8}( |é|"|\*|@|%)?[a-z]{0,3}`)
	queries  = rapid.MapOf(rapid.StringMatching(`[a-zé/ &]{1,5}`), rapid.SliceOfN(rapid.StringN(0, 8, -1), 1, 2))
)

// drawTarget draws a path of two segments, so that one trust entry covers it, and perhaps a query.
func drawTarget(t *rapid.T) string {
	u := url.URL{Path: "/" + segments.Draw(t, "first") + "/" + segments.Draw(t, "second")}
	if rapid.Bool().Draw(t, "slash") {
		u.Path += "/"
	}
	if rapid.Bool().Draw(t, "with query") {
		u.RawQuery = url.Values(queries.Draw(t, "query")).Encode()
	}
	return u.RequestURI()
}

// propertyWorld returns a signer for each algorithm, and a verifier that allows each of them every
// call.
func propertyWorld(t *testing.T) (map[keys.Algorithm]*svcauth.Signer, *svcauth.Verifier) {
	t.Helper()
	signers := map[keys.Algorithm]*svcauth.Signer{}
	var entries []svcauthtest.Trust
	for _, alg := range algorithms {
		key := generateKey(t, alg)
		issuer := "https://" + strings.ToLower(string(alg)) + ".service/"
		signers[alg] = newSigner(t, func(c *svcauth.SignerConfig) { c.Issuer, c.Key = issuer, key })
		var allow []string
		for _, method := range []string{"GET", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"} {
			allow = append(allow, method+" /*/*")
		}
		entries = append(entries, svcauthtest.Trust{
			Issuer: &svcauthtest.Issuer{URL: issuer, Key: key, Profile: trust.Bound},
			Allow:  allow, ActFor: []string{"https://census.service/user/*"},
		})
	}
	return signers, svcauthtest.NewVerifier(t, census, entries...)
}

// drawSigned draws a request and signs it.
func drawSigned(t *rapid.T, signers map[keys.Algorithm]*svcauth.Signer) signedRequest {
	s := signedRequest{method: methods.Draw(t, "method"), target: drawTarget(t)}
	if rapid.Bool().Draw(t, "with body") {
		s.body = string(rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "body"))
	}
	req, err := http.NewRequest(s.method, strings.TrimSuffix(census, "/")+s.target, strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	signer := signers[rapid.SampledFrom(algorithms).Draw(t, "algorithm")]
	if err := signer.Sign(req, census, user21); err != nil {
		t.Fatal(err)
	}
	s.token = req.Header.Get(svcauth.Header)
	return s
}

// Every signed request is accepted, and the handler reads the body as it was sent.
func TestPropertySignedPasses(t *testing.T) {
	t.Parallel()
	signers, verifier := propertyWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		s := drawSigned(t, signers)
		if status := s.pass(verifier); status != http.StatusOK {
			t.Fatalf("status %d for %+v", status, s)
		}
	})
}

// Any change of any byte of header, claims, signature, method, URL or body is refused.
func TestPropertyChangedIsRefused(t *testing.T) {
	t.Parallel()
	signers, verifier := propertyWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		s := drawSigned(t, signers)
		if s.body == "" && rapid.Bool().Draw(t, "seen before") && (s.method == "GET" || s.method == "HEAD" || s.method == "OPTIONS") {
			s.pass(verifier)
		}
		changed := s
		switch rapid.SampledFrom([]string{"token", "decoded token", "method", "target", "body"}).Draw(t, "what") {
		case "token":
			changed.token = changeByte(t, s.token)
		case "decoded token":
			changed.token = changePart(t, s.token)
		case "method":
			changed.method = changeByte(t, s.method)
		case "target":
			changed.target = changeByte(t, s.target)
		case "body":
			changed.body = changeByte(t, s.body)
		}
		if changed.token != s.token && strings.TrimSpace(changed.token) == s.token {
			return // white space around a header's value is not part of it
		}
		if status := changed.pass(verifier); status == http.StatusOK {
			t.Fatalf("accepted %+v, where %+v was signed", changed, s)
		}
		if status := s.pass(verifier); status != http.StatusOK {
			t.Fatalf("status %d for the unchanged %+v", status, s)
		}
	})
}

// changeByte replaces, inserts or removes one byte.
func changeByte(t *rapid.T, text string) string {
	data := []byte(text)
	at := rapid.IntRange(0, len(data)).Draw(t, "at")
	b := rapid.Byte().Draw(t, "byte")
	switch how := rapid.SampledFrom([]string{"replace", "insert", "remove"}).Draw(t, "how"); {
	case how == "insert" || at == len(data):
		data = slices.Insert(data, at, b)
	case how == "remove":
		data = slices.Delete(data, at, at+1)
	case data[at] == b:
		data[at]++
	default:
		data[at] = b
	}
	return string(data)
}

// changePart changes a byte of a token's decoded header, claims or signature.
func changePart(t *rapid.T, compact string) string {
	parts := strings.Split(compact, ".")
	n := rapid.IntRange(0, 2).Draw(t, "part")
	parts[n] = base64URL([]byte(changeByte(t, string(decode64(parts[n])))))
	return strings.Join(parts, ".")
}
