package svcauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// newGreeter returns the handler of a complete service. It accepts the calls that its trust file
// allows, greets the subject, and publishes the public keys of the service. In dir are the trust
// file and the key directory that "svcauth rotate" maintains.
func newGreeter(dir string) (handler http.Handler, stop func(), err error) {
	own, err := keys.Watch(filepath.Join(dir, "keys"), nil)
	if err != nil {
		return nil, nil, err
	}
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience:  "https://greeter.service/",
		TrustFile: filepath.Join(dir, "trust.yaml"),
		Replay:    svcauth.NewMemoryReplay(), // pgreplay.New(pool) where there are several replicas
	})
	if err != nil {
		return nil, nil, err
	}
	greet := func(w http.ResponseWriter, r *http.Request) {
		caller, _ := svcauth.CallerFrom(r.Context())
		subject, _ := svcauth.SubjectFrom(r.Context())
		fmt.Fprintf(w, "hello %s, says %s", subject, caller.Issuer)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /"+keys.JWKSPath, keys.Handler(own))
	mux.Handle("GET /greeting/", verifier.Require(0)(http.HandlerFunc(greet)))
	return mux, verifier.Close, nil // to be served over TLS
}

// A complete service: a verifier before its handlers, and a handler that publishes its keys.
func Example_service() {
	shop, dir, remove := exampleFiles("shop.pub.pem", `
issuers:
  - issuer: https://shop.service/
    keys: shop.pub.pem
    allow: [GET /greeting/]
    act_for: [https://census.service/user/*]
`)
	defer remove()
	if _, err := keys.Rotate(filepath.Join(dir, "keys"), keys.RotateConfig{}); err != nil {
		panic(err)
	}
	greeter, stop, err := newGreeter(dir)
	if err != nil {
		panic(err)
	}
	defer stop()

	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://shop.service/", Key: shop})
	if err != nil {
		panic(err)
	}
	req := httptest.NewRequest(http.MethodGet, "https://greeter.service/greeting/", nil)
	if err := signer.Sign(req, "https://greeter.service/", "https://census.service/user/42/"); err != nil {
		panic(err)
	}
	res := httptest.NewRecorder()
	greeter.ServeHTTP(res, req)
	fmt.Println(res.Code, res.Body)
	// Output: 200 hello https://census.service/user/42/, says https://shop.service/
}
