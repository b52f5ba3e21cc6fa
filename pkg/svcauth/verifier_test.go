package svcauth_test

import (
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth"
)

// NewVerifier refuses a config with a field missing, and names the field.
func TestNewVerifierNeeds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trust.yaml")
	writeFile(t, file, []byte("issuers: [{issuer: https://herald.service/, keys: discover, allow: [GET /user/*]}]"))
	good := svcauth.VerifierConfig{Audience: census, TrustFile: file, Replay: svcauth.NewMemoryReplay()}
	for _, tt := range []struct {
		want   string
		change func(*svcauth.VerifierConfig)
	}{
		{"audience", func(c *svcauth.VerifierConfig) { c.Audience = "" }},
		{"audience", func(c *svcauth.VerifierConfig) { c.Audience = "https://census.service" }},
		{"audience", func(c *svcauth.VerifierConfig) { c.Audience = "census" }},
		{"trust file", func(c *svcauth.VerifierConfig) { c.TrustFile = "" }},
		{"replay store", func(c *svcauth.VerifierConfig) { c.Replay = nil }},
	} {
		config := good
		tt.change(&config)
		if _, err := svcauth.NewVerifier(config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one that names %q", err, tt.want)
		}
	}
}
