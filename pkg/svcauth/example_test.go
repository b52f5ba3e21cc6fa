package svcauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// Census allows Herald to read users on behalf of its own users. The handler asks who calls, and
// for whom.
func ExampleVerifier_Require() {
	key, dir, remove := exampleFiles("herald.pub.pem", `
issuers:
  - issuer: https://herald.service/
    keys: herald.pub.pem
    allow: [GET /user/*]
    act_for: [https://census.service/user/*]
`)
	defer remove()

	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience:  "https://census.service/",
		TrustFile: filepath.Join(dir, "trust.yaml"),
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

	// Herald does this for each call, usually with a Transport.
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

// Herald signs all its calls to Census. The request's context names the user that a call acts for.
func ExampleTransport() {
	census, key, stop := startCensus()
	defer stop()
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{
		Issuer: "https://herald.service/",
		Key:    key, // in a service: keys.Watch
	})
	if err != nil {
		panic(err)
	}
	transport, err := svcauth.NewTransport(svcauth.TransportConfig{
		Signer:   signer,
		Audience: "https://census.service/",
		Base:     census, // in a service: the transport of its own client, or nothing
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
	// Output: 200 OK {"name":"New User"} for https://census.service/user/21/
	// Get "https://elsewhere.service/": svcauth: the request goes to https://elsewhere.service/, not to https://census.service/
}

// Herald receives calls from another.service, which signs tokens as in the article. Only the trust
// entry of that issuer has the article profile, which is the weaker one and never the default.
func ExampleNewVerifier_article() {
	key, dir, remove := exampleFiles("another.pub.pem", `
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
		TrustFile: filepath.Join(dir, "trust.yaml"),
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
		Issuer: "https://another.service/", Key: key, Profile: trust.Article,
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

// A handler verifies requests itself, and answers refusals in its own words.
func ExampleVerifier_Verify() {
	key, dir, remove := exampleFiles("herald.pub.pem", `
issuers:
  - issuer: https://herald.service/
    keys: herald.pub.pem
    allow: [GET /user/*]
    act_for: [https://census.service/user/*]
`)
	defer remove()
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience:  "https://census.service/",
		TrustFile: filepath.Join(dir, "trust.yaml"),
		Replay:    svcauth.NewMemoryReplay(),
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	defer verifier.Close()

	handler := func(w http.ResponseWriter, r *http.Request) {
		r, err := verifier.Verify(r, 64<<10)
		if refusal, ok := errors.AsType[*svcauth.Refusal](err); ok {
			http.Error(w, "not for you", refusal.Status) // refusal.Check is for the log
			return
		}
		subject, _ := svcauth.SubjectFrom(r.Context())
		fmt.Fprintln(w, "for", subject)
	}

	herald, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://herald.service/", Key: key})
	if err != nil {
		panic(err)
	}
	for _, subject := range []svcauth.Subject{"https://census.service/user/21/", "https://elsewhere.service/user/21/"} {
		req := httptest.NewRequest(http.MethodGet, "https://census.service/user/42/", nil)
		if err := herald.Sign(req, "https://census.service/", subject); err != nil {
			panic(err)
		}
		res := httptest.NewRecorder()
		handler(res, req)
		fmt.Print(res.Code, " ", res.Body)
	}
	// Output:
	// 200 for https://census.service/user/21/
	// 403 not for you
}

// A producer of a job queue signs each message. The worker verifies it before it does the job, and
// refuses a message that it has seen before. The trust policy is made in Go.
func ExampleVerifier_VerifyCall() {
	key, err := keys.Generate(keys.EdDSA)
	if err != nil {
		panic(err)
	}
	shop, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://shop.service/", Key: key})
	if err != nil {
		panic(err)
	}
	policy, err := trust.New(trust.Issuer{
		Name:       "https://shop.service/",
		PublicKeys: []keys.Public{key.Public()},
		Allow:      []string{"POST /jobs/mail"},
		ActFor:     []string{"https://census.service/user/*"},
	})
	if err != nil {
		panic(err)
	}
	worker, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: "https://worker.service/", Trust: policy, Replay: svcauth.NewMemoryReplay(),
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	defer worker.Close()

	job := svcauth.Call{
		Method: "POST", URL: "https://worker.service/jobs/mail", Body: []byte(`{"order":7}`),
		Subject: "https://census.service/user/21/",
		Claims:  svcauth.Claims{"tenant": json.RawMessage(`"blue"`)},
	}
	token, err := shop.SignCall(context.Background(), "https://worker.service/", job)
	if err != nil {
		panic(err)
	}

	// The queue carries the token and the body to the worker.
	received := svcauth.Call{Method: "POST", URL: "https://worker.service/jobs/mail", Body: job.Body}
	id, err := worker.VerifyCall(context.Background(), token, received)
	fmt.Println(id.Caller.Issuer, id.Subject, string(id.Claims["tenant"]), err)

	_, err = worker.VerifyCall(context.Background(), token, received)
	if refusal, ok := errors.AsType[*svcauth.Refusal](err); ok {
		fmt.Println("again: refused by check", refusal.Check)
	}
	// Output:
	// https://shop.service/ https://census.service/user/21/ "blue" <nil>
	// again: refused by check replay
}

// Census gives a user a token for the user's own calls to Herald.
func ExampleSigner_SessionToken() {
	key, err := keys.Generate(keys.EdDSA)
	if err != nil {
		panic(err)
	}
	census, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://census.service/", Key: key})
	if err != nil {
		panic(err)
	}
	token, err := census.SessionToken(context.Background(), "https://herald.service/", "https://census.service/user/21/")
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.Count(token, "."), "dots")
	_, err = census.SessionToken(context.Background(), "https://herald.service/", "https://elsewhere.service/user/21/")
	fmt.Println(err)
	// Output:
	// 2 dots
	// svcauth: "https://elsewhere.service/user/21/" is no user of https://census.service/
}

// exampleFiles makes a key, and a directory with its public key and the trust.yaml that names it.
func exampleFiles(keyFile, trustText string) (key *keys.Private, dir string, remove func()) {
	key, err := keys.Generate(keys.EdDSA)
	if err != nil {
		panic(err)
	}
	public, err := key.PublicPEM()
	if err != nil {
		panic(err)
	}
	if dir, err = os.MkdirTemp("", "svcauth"); err != nil {
		panic(err)
	}
	for name, data := range map[string][]byte{keyFile: public, "trust.yaml": []byte(trustText)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			panic(err)
		}
	}
	return key, dir, func() { _ = os.RemoveAll(dir) }
}

// A handlerTransport is an HTTP transport that calls a handler, without a network.
type handlerTransport struct{ http.Handler }

// RoundTrip implements http.RoundTripper.
func (l handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res := httptest.NewRecorder()
	l.ServeHTTP(res, r)
	return res.Result(), nil
}

// startCensus returns a Census that answers with the body and the subject of a request, and the key
// of Herald, which may post users.
func startCensus() (census handlerTransport, heraldKey *keys.Private, stop func()) {
	key, dir, remove := exampleFiles("herald.pub.pem", `
issuers:
  - issuer: https://herald.service/
    keys: herald.pub.pem
    allow: [POST /user/]
    act_for: [https://census.service/user/*]
`)
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: "https://census.service/", TrustFile: filepath.Join(dir, "trust.yaml"), Replay: svcauth.NewMemoryReplay(),
	})
	if err != nil {
		panic(err)
	}
	handler := verifier.Require(64 << 10)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, _ := svcauth.SubjectFrom(r.Context())
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s for %s", body, subject)
	}))
	return handlerTransport{handler}, key, func() { verifier.Close(); remove() }
}
