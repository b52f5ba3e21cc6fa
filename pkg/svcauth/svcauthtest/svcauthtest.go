// Package svcauthtest helps to test services that use package svcauth. It makes callers with new
// keys, and verifiers that trust them.
//
//	shop := svcauthtest.NewIssuer(t, "https://shop.service/")
//	verifier := svcauthtest.NewVerifier(t, "https://census.service/", svcauthtest.Trust{
//		Issuer: shop, Allow: []string{"GET /user/*"}, ActFor: []string{"https://census.service/user/*"},
//	})
//	req := httptest.NewRequest("GET", "https://census.service/user/42/", nil)
//	shop.Sign(t, req, "https://census.service/", "https://census.service/user/21/")
//
// There are no fakes: tokens are signed and verified as in production.
package svcauthtest

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// An Issuer is a service with a key of its own.
type Issuer struct {
	URL     string
	Key     *keys.Private
	Profile trust.Profile
	signer  *svcauth.Signer
}

// NewIssuer returns a service with that base URL, which signs bound tokens with a new Ed25519 key.
func NewIssuer(tb testing.TB, url string) *Issuer {
	tb.Helper()
	return newIssuer(tb, url, trust.Bound)
}

// NewArticleIssuer returns a service that signs tokens in the form of the article.
func NewArticleIssuer(tb testing.TB, url string) *Issuer {
	tb.Helper()
	return newIssuer(tb, url, trust.Article)
}

func newIssuer(tb testing.TB, url string, profile trust.Profile) *Issuer {
	tb.Helper()
	key, err := keys.Generate(keys.EdDSA)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: url, Key: key, Profile: profile})
	if err != nil {
		tb.Fatal(err)
	}
	return &Issuer{URL: url, Key: key, Profile: profile, signer: signer}
}

// Signer returns the issuer's signer, for a [svcauth.Transport] or a session token.
func (i *Issuer) Signer() *svcauth.Signer { return i.signer }

// Sign signs a request. It is the last step before the request is sent.
func (i *Issuer) Sign(tb testing.TB, r *http.Request, audience string, subject svcauth.Subject) {
	tb.Helper()
	if err := i.signer.Sign(r, audience, subject); err != nil {
		tb.Fatal(err)
	}
}

// A Trust is an entry of a trust file. The other fields of the entry follow from Issuer.
type Trust struct {
	Issuer   *Issuer
	Allow    []string
	ActFor   []string
	Admin    bool
	Sessions bool
}

// WriteTrustFile writes a trust file with these entries, and the public keys of the issuers, into a
// temporary directory of the test. It returns the path of the trust file.
func WriteTrustFile(tb testing.TB, entries ...Trust) string {
	tb.Helper()
	dir := tb.TempDir()
	var yaml strings.Builder
	yaml.WriteString("issuers:\n")
	for n, e := range entries {
		name := fmt.Sprintf("%d.pub.pem", n)
		public, err := e.Issuer.Key.PublicPEM()
		if err != nil {
			tb.Fatal(err)
		}
		write(tb, filepath.Join(dir, name), public)
		fmt.Fprintf(&yaml, "  - issuer: %q\n    profile: %s\n    keys: %s\n    admin: %t\n    sessions: %t\n",
			e.Issuer.URL, e.Issuer.Profile, name, e.Admin, e.Sessions)
		writeList(&yaml, "allow", e.Allow)
		writeList(&yaml, "act_for", e.ActFor)
	}
	file := filepath.Join(dir, "trust.yaml")
	write(tb, file, []byte(yaml.String()))
	return file
}

func writeList(yaml *strings.Builder, key string, items []string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(yaml, "    %s:\n", key)
	for _, item := range items {
		fmt.Fprintf(yaml, "      - %q\n", item)
	}
}

func write(tb testing.TB, file string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// NewVerifier returns a verifier for the service named audience that trusts these entries, with a
// replay store in memory. It logs to the test and is closed when the test ends.
func NewVerifier(tb testing.TB, audience string, entries ...Trust) *svcauth.Verifier {
	tb.Helper()
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: audience, TrustFile: WriteTrustFile(tb, entries...), Replay: svcauth.NewMemoryReplay(),
		Logger: slog.New(slog.NewTextHandler(tb.Output(), nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(verifier.Close)
	return verifier
}
