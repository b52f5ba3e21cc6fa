package svcauth_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"example.com/micromachine/pkg/svcauth"
)

// Census lets Herald read users on behalf of Census's users, and its handler asks who calls and for whom.
func ExampleVerifier_Require() {
	key, err := svcauth.GenerateKey(svcauth.EdDSA) // Herald's
	if err != nil {
		panic(err)
	}
	trust, remove := trustFile("herald.pub.pem", key, `
issuers:
  - issuer: https://herald.service/
    keys: herald.pub.pem
    allow: [GET /user/*]
    act_for: [https://census.service/user/*]
`)
	defer remove()

	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience:  "https://census.service/",
		TrustFile: trust,
		Replay:    svcauth.NewMemoryReplay(),
	})
	if err != nil {
		panic(err)
	}
	defer verifier.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /user/{id}/", func(w http.ResponseWriter, r *http.Request) {
		caller, _ := svcauth.CallerFrom(r.Context())
		subject, _ := svcauth.SubjectFrom(r.Context())
		fmt.Fprintf(w, "%s reads user %s for %s", caller.Issuer, r.PathValue("id"), subject)
	})
	handler := verifier.Require(64 << 10)(mux)

	// What Herald does for each call, here without its Transport.
	herald, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://herald.service/", Key: key})
	if err != nil {
		panic(err)
	}
	req := httptest.NewRequest(http.MethodGet, "https://census.service/user/42/", nil)
	if err := herald.Sign(req, "https://census.service/", "https://census.service/user/21/"); err != nil {
		panic(err)
	}
	res := httptest.NewRecorder()
	handler.ServeHTTP(res, req)
	fmt.Println(res.Code, res.Body)
	// Output: 200 https://herald.service/ reads user 42 for https://census.service/user/21/
}

// Herald signs all its calls to Census. Whom a call acts for is in the request's context.
func ExampleTransport() {
	key, err := svcauth.GenerateKey(svcauth.EdDSA) // in a service: LoadKey
	if err != nil {
		panic(err)
	}
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://herald.service/", Key: key})
	if err != nil {
		panic(err)
	}
	census, stop := startCensus(key)
	defer stop()
	transport, err := svcauth.NewTransport(svcauth.TransportConfig{
		Signer:   signer,
		Audience: "https://census.service/",
		Base:     census, // in a service: the transport of NewHTTPClient, or nothing
	})
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: transport}

	ctx := svcauth.ActFor(context.Background(), "https://census.service/user/21/")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://census.service/user/", strings.NewReader(`{"name":"New User"}`))
	if err != nil {
		panic(err)
	}
	res, err := client.Do(req)
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	fmt.Println(res.Status, string(answer))

	req, err = http.NewRequestWithContext(ctx, http.MethodGet, "https://elsewhere.service/", nil)
	if err != nil {
		panic(err)
	}
	if _, err = client.Do(req); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200 OK {"name":"New User"} for https://census.service/user/21/
	// Get "https://elsewhere.service/": svcauth: the request goes to https://elsewhere.service/, not to https://census.service/
}

// Herald receives calls from another.service, which signs as the article prints it. The profile is named for that issuer
// alone: it is the weaker one, and never the default.
func ExampleNewVerifier_article() {
	key, err := svcauth.GenerateKey(svcauth.EdDSA) // another.service's
	if err != nil {
		panic(err)
	}
	trust, remove := trustFile("another.pub.pem", key, `
issuers:
  - issuer: https://another.service/
    profile: article
    keys: another.pub.pem
    allow: [POST /notification/]
    act_for: [https://census.service/user/*]
`)
	defer remove()
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience:  "https://herald.service/",
		TrustFile: trust,
		Replay:    svcauth.NewMemoryReplay(),
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	defer verifier.Close()
	handler := verifier.Require(64 << 10)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, _ := svcauth.SubjectFrom(r.Context())
		fmt.Fprint(w, "a notification for ", subject)
	}))

	another, err := svcauth.NewSigner(svcauth.SignerConfig{
		Issuer: "https://another.service/", Key: key, Profile: svcauth.Article,
	})
	if err != nil {
		panic(err)
	}
	req := httptest.NewRequest(http.MethodPost, "https://herald.service/notification/", strings.NewReader(`{"type":"welcome-message"}`))
	if err := another.Sign(req, "https://herald.service/", "https://census.service/user/21/"); err != nil {
		panic(err)
	}
	changed := httptest.NewRequest(http.MethodPost, "https://herald.service/notification/", strings.NewReader(`{"type":"invoice"}`))
	changed.Header = req.Header // the token of the other body
	for _, r := range []*http.Request{changed, req} {
		res := httptest.NewRecorder()
		handler.ServeHTTP(res, r)
		answer, _, _ := strings.Cut(res.Body.String(), ",")
		fmt.Println(res.Code, answer)
	}
	// Output:
	// 401 {"type":"urn:svcauth:problem:invalid-token"
	// 200 a notification for https://census.service/user/21/
}

// Census gives a user a token with which to call Herald in person.
func ExampleSigner_SessionToken() {
	key, err := svcauth.GenerateKey(svcauth.EdDSA)
	if err != nil {
		panic(err)
	}
	census, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://census.service/", Key: key})
	if err != nil {
		panic(err)
	}
	token, err := census.SessionToken("https://herald.service/", "https://census.service/user/21/")
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.Count(token, "."), "dots")
	_, err = census.SessionToken("https://herald.service/", "https://elsewhere.service/user/21/")
	fmt.Println(err)
	// Output:
	// 2 dots
	// svcauth: "https://elsewhere.service/user/21/" is no user of https://census.service/
}

// trustFile writes a trust file and the one key file that it names.
func trustFile(keyFile string, key *svcauth.PrivateKey, text string) (file string, remove func()) {
	dir, err := os.MkdirTemp("", "svcauth")
	if err != nil {
		panic(err)
	}
	public, err := key.PublicPEM()
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), public, 0o600); err != nil {
		panic(err)
	}
	file = filepath.Join(dir, "trust.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return file, func() { _ = os.RemoveAll(dir) }
}

// A local is a service at the other end of a wire that an example has no need of.
type local struct{ http.Handler }

// RoundTrip implements http.RoundTripper.
func (l local) RoundTrip(r *http.Request) (*http.Response, error) {
	res := httptest.NewRecorder()
	l.ServeHTTP(res, r)
	return res.Result(), nil
}

// startCensus returns a Census that lets Herald post users, and says what it got and for whom.
func startCensus(key *svcauth.PrivateKey) (census local, stop func()) {
	trust, remove := trustFile("herald.pub.pem", key, `
issuers:
  - issuer: https://herald.service/
    keys: herald.pub.pem
    allow: [POST /user/]
    act_for: [https://census.service/user/*]
`)
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: "https://census.service/", TrustFile: trust, Replay: svcauth.NewMemoryReplay(),
	})
	if err != nil {
		panic(err)
	}
	handler := verifier.Require(64 << 10)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, _ := svcauth.SubjectFrom(r.Context())
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s for %s", body, subject)
	}))
	return local{handler}, func() { verifier.Close(); remove() }
}
