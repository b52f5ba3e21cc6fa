package svcauth_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// The code at the top of the main README works.
func TestQuickstart(t *testing.T) {
	key, dir, remove := exampleFiles("herald.pub.pem", `
issuers:
  - issuer: https://herald.service/
    keys: herald.pub.pem
    allow: [GET /user/*]
    act_for: [https://census.service/user/*]
`)
	t.Cleanup(remove)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Mkdir(filepath.Join(dir, "keys"), 0o700))
	check(key.Save(filepath.Join(dir, "keys", "20260101T000000Z.pem")))
	t.Chdir(dir)
	ctx, logger, mux := context.Background(), slog.New(slog.DiscardHandler), http.NewServeMux()
	mux.HandleFunc("GET /user/42/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

	// Herald signs its calls to Census, here on behalf of user 21.
	own, err := keys.Watch("keys", logger)
	check(err)
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://herald.service/", Key: own})
	check(err)
	transport, err := svcauth.NewTransport(svcauth.TransportConfig{
		Signer: signer, Audience: "https://census.service/",
	})
	check(err)
	client := &http.Client{Transport: transport}
	ctx = svcauth.ActFor(ctx, "https://census.service/user/21/") // client signs requests with ctx

	// Census lets in the calls that its trust file allows.
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: "https://census.service/", TrustFile: "trust.yaml", Replay: svcauth.NewMemoryReplay(),
	})
	check(err)
	handler := verifier.Require(64 << 10)(mux) // svcauth.CallerFrom and SubjectFrom say who calls

	defer verifier.Close()
	transport, err = svcauth.NewTransport(svcauth.TransportConfig{
		Signer: signer, Audience: "https://census.service/", Base: handlerTransport{handler},
	})
	check(err)
	client.Transport = transport
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://census.service/user/42/", http.NoBody)
	check(err)
	res, err := client.Do(req)
	check(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Errorf("status %d", res.StatusCode)
	}
}
