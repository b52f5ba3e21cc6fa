package svcauthprom_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthprom"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

const census, herald, shop = "https://census.service/", "https://herald.service/", "https://shop.service/"

// The counts of a verifier are exported under the documented names.
func TestCollector(t *testing.T) {
	t.Parallel()
	h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
	jwks := httptest.NewTLSServer(keys.Handler(s.Key))
	t.Cleanup(jwks.Close)
	file := svcauthtest.WriteTrustFile(t, svcauthtest.Trust{Issuer: h, Allow: []string{"GET /user/*"}})
	trust, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	trust = append(trust, "  - {issuer: "+shop+", keys: '"+jwks.URL+"', allow: [GET /user/*]}\n"...)
	if err := os.WriteFile(filepath.Clean(file), trust, 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, TrustFile: file, Replay: svcauth.NewMemoryReplay(), HTTPClient: jwks.Client(),
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	for _, issuer := range []*svcauthtest.Issuer{h, s, s, svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, "https://evil.service/")} {
		req := httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
		issuer.Sign(t, req, census, svcauth.Subject(issuer.URL))
		_, _ = verifier.Verify(req, 0) // counted either way
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(svcauthprom.NewCollector(verifier))
	want := `
		# HELP svcauth_calls_passed_total Calls let in.
		# TYPE svcauth_calls_passed_total counter
		svcauth_calls_passed_total{issuer="https://herald.service/"} 1
		svcauth_calls_passed_total{issuer="https://shop.service/"} 2
		# HELP svcauth_calls_refused_total Calls refused, by the check that refused them.
		# TYPE svcauth_calls_refused_total counter
		svcauth_calls_refused_total{check="issuer",issuer=""} 1
		svcauth_calls_refused_total{check="key",issuer="https://herald.service/"} 1
		# HELP svcauth_key_set_keys Keys of a fetched set that can be used now.
		# TYPE svcauth_key_set_keys gauge
		svcauth_key_set_keys{issuer="https://shop.service/"} 1
		# HELP svcauth_key_set_fetches_total Fetches of a key set.
		# TYPE svcauth_key_set_fetches_total counter
		svcauth_key_set_fetches_total{issuer="https://shop.service/"} 1
		# HELP svcauth_key_set_fetch_failures_total Fetches that brought no usable key set.
		# TYPE svcauth_key_set_fetch_failures_total counter
		svcauth_key_set_fetch_failures_total{issuer="https://shop.service/"} 0
		# HELP svcauth_key_set_skipped_keys Keys of a fetched set that cannot be used.
		# TYPE svcauth_key_set_skipped_keys gauge
		svcauth_key_set_skipped_keys{issuer="https://shop.service/"} 0
		# HELP svcauth_trust_file_bad Whether the trust file on disk is bad, so that the one before stays in force.
		# TYPE svcauth_trust_file_bad gauge
		svcauth_trust_file_bad 0
	`
	names := []string{
		"svcauth_calls_passed_total", "svcauth_calls_refused_total", "svcauth_key_set_keys", "svcauth_key_set_fetches_total",
		"svcauth_key_set_fetch_failures_total", "svcauth_key_set_skipped_keys", "svcauth_trust_file_bad",
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}
