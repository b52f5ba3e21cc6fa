package svcauth_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

// The log lines of refused calls are short, have escaped control characters and contain no mail
// addresses, whatever the caller puts into the token or the request.
func TestLogIsSafe(t *testing.T) {
	w := newWorld(t)
	for _, address := range []string{
		"jane.doe@example.com", "jane.doe%40example.com", "jane.doe%2540example.com", "jane.doe＠example.com",
	} {
		for name, change := range map[string]func(*call){
			"kid":          func(c *call) { c.header.set("kid", quote(address)) },
			"alg":          func(c *call) { c.header.set("alg", quote(address)) },
			"typ":          func(c *call) { c.header.set("typ", quote(address)) },
			"header":       func(c *call) { c.header.set(address, `""`) },
			"iss":          func(c *call) { c.claims.set("iss", quote("https://"+address+"/")) },
			"aud":          func(c *call) { c.claims.set("aud", quote("https://"+address+"/")) },
			"sub":          func(c *call) { c.claims.set("sub", quote(address)) },
			"sub of user":  func(c *call) { c.claims.set("sub", quote("https://other.service/user/"+address+"/")) },
			"htm":          func(c *call) { c.claims.set("htm", quote(address)) },
			"htu":          func(c *call) { c.claims.set("htu", quote("https://census.service/user/"+address)) },
			"long iss":     func(c *call) { c.claims.set("iss", quote("https://"+strings.Repeat("a", 3000)+address)) },
			"control char": func(c *call) { c.claims.set("iss", `"line\n`+address+`\u001b[31m"`) },
		} {
			c := boundRead(t, w)
			change(c)
			c.sign()
			w.log.Reset()
			if got := c.send(); got.refusal == nil {
				t.Errorf("%s of %s: not refused", name, address)
			}
			line := w.log.String()
			if strings.Contains(line, "jane") || !strings.Contains(line, "call refused") || len(line) > 2000 || strings.Contains(line, "\x1b") {
				t.Errorf("%s of %s: logged %s", name, address, line)
			}
		}
	}
}

// A trusted issuer's key set is untrusted text, too. Its log lines are short and contain no mail
// addresses.
func TestKeySetLogIsSafe(t *testing.T) {
	t.Parallel()
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":"","kid":"%d jane@example.com %s","use":"%s\n"}`,
			i, strings.Repeat("k", 3000), strings.Repeat("u", 3000)))
	}
	sets := &publishedSets{sets: map[string]string{"herald.service": `{"keys":[` + strings.Join(keys, ",") + `]}`}}
	file := filepath.Join(t.TempDir(), "trust.yaml")
	writeFile(t, file, []byte("issuers: [{issuer: https://herald.service/, keys: discover, allow: [GET /user/*]}]"))
	log := &logBuffer{}
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, TrustFile: file, InsecureAllowReplay: true, HTTPClient: &http.Client{Transport: sets},
		Logger: slog.New(slog.NewJSONHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close()
	for deadline := time.Now().Add(10 * time.Second); strings.Count(log.String(), "\n") < len(keys); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("logged %s", log)
		}
	}
	for line := range strings.Lines(log.String()) {
		if len(line) > 3000 || strings.Contains(line, "jane") {
			t.Errorf("a line of %d bytes: %.300s", len(line), line)
		}
	}
}
