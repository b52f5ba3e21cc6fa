package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
	"example.com/micromachine/pkg/svcauth/trust"
)

// writeTrust writes a trust file with these entries, and a key file shop.pub.pem beside it.
func writeTrust(tb testing.TB, yaml string) (file, kid string) {
	tb.Helper()
	dir := tb.TempDir()
	kid = strings.TrimSpace(succeed(tb, "keygen", "--out", filepath.Join(dir, "shop.pem")))
	file = filepath.Join(dir, "trust.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file, kid
}

const trustYAML = `issuers:
  - issuer: https://shop.service/
    keys: shop.pub.pem
    algorithms: [EdDSA, ES256]
    allow: [GET /user/*, POST /notification/]
    act_for: [https://census.service/user/*]
    admin: true
  - issuer: https://another.service/
    profile: article
    insecure_no_expiry: true
    keys: https://keys.service/another.json
    allow: [POST /notification/]
  - issuer: https://census.service/
    keys: discover
    sessions: true
`

func TestTrustCheckText(t *testing.T) {
	t.Parallel()
	file, kid := writeTrust(t, trustYAML)
	want := file + ` is good. It trusts 3 issuers.

https://another.service/
  profile   article
  keys      fetched from https://keys.service/another.json
  allow     POST /notification/
  act_for   itself
  WARNING   profile article: a token passes for every allowed call with the same body, of which it has but an MD5 sum; without a jti, again and again
            insecure_no_expiry: a token without exp is good for ever, for a thief too

https://census.service/
  profile    bound
  keys       fetched from https://census.service/.well-known/jwks.json
  allow      nothing: it makes no calls of its own
  sessions   its own users may call, with the session tokens that it makes for them

https://shop.service/
  profile      bound
  keys         shop.pub.pem
               ` + kid + `, for EdDSA
  algorithms   EdDSA, ES256
  allow        GET /user/*
               POST /notification/
  act_for      itself
               https://census.service/user/*
  WARNING      admin: the issuer may do all that the user it acts for may do as an administrator
`
	if got := succeed(t, "trust", "check", file); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTrustCheckJSON(t *testing.T) {
	t.Parallel()
	file, kid := writeTrust(t, trustYAML)
	var got trustReport
	if err := json.Unmarshal([]byte(succeed(t, "trust", "check", "--json", file)), &got); err != nil {
		t.Fatal(err)
	}
	if got.File != file || len(got.Issuers) != 3 || got.Faults == nil || len(got.Faults) != 0 {
		t.Fatalf("%+v", got)
	}
	article, sessions, admin := got.Issuers[0], got.Issuers[1], got.Issuers[2]
	if article.Profile != trust.Article || !article.InsecureNoExpiry || len(article.Warnings) != 2 || len(article.KeyIDs) != 0 {
		t.Errorf("%+v", article)
	}
	if !sessions.Sessions || sessions.Allow == nil || len(sessions.Warnings) != 0 || sessions.KeySetURL != census+keys.JWKSPath {
		t.Errorf("%+v", sessions)
	}
	if !admin.Admin || len(admin.Warnings) != 1 || !maps.Equal(admin.KeyIDs, map[string]keys.Algorithm{kid: keys.EdDSA}) {
		t.Errorf("%+v", admin)
	}
}

func TestTrustCheckOne(t *testing.T) {
	t.Parallel()
	trust := svcauthtest.WriteTrustFile(t, svcauthtest.Trust{Issuer: svcauthtest.NewIssuer(t, shop), Allow: []string{"GET /"}})
	if text := succeed(t, "trust", "check", trust); !strings.Contains(text, "trusts 1 issuer.\n") || strings.Contains(text, "WARNING") {
		t.Error(text)
	}
}

func TestTrustCheckFaults(t *testing.T) {
	t.Parallel()
	file, _ := writeTrust(t, `issuers:
  - issuer: https://shop.service/
    keys: shop.pub.pem
    allow: [get /user/*]
    admon: true
  - issuer: http://plain.service/
    keys: discover
    allow: [GET /]
  - issuer: https://census.service/
    keys: bad.json
    allow: [GET /]
`)
	bad := `{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC"}]}`
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "bad.json"), []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	r := execute(t, "", "trust", "check", file)
	lines := strings.Split(strings.TrimSuffix(r.err, "\n"), "\n")
	if r.status != exitFailed || r.out != "" || len(lines) != 5 {
		t.Fatalf("%+v", r)
	}
	for i, want := range []string{":4: allow: ", `:5: unknown key "admon"`, ":6: issuer: ", ":10: keys: bad.json: "} {
		if !strings.HasPrefix(lines[i], file+want) {
			t.Errorf("line %d is %q, want %s%s", i, lines[i], file, want)
		}
	}
	if lines[4] != "svcauth trust check: 4 faults: a service rejects the file" {
		t.Errorf("%q", lines[4])
	}

	asJSON := execute(t, "", "trust", "check", "--json", file)
	asJSON.mustFail(t, exitFailed, "4 faults")
	var got trustReport
	if err := json.Unmarshal([]byte(asJSON.out), &got); err != nil || !slices.Equal(got.Faults, lines[:4]) || len(got.Issuers) != 0 {
		t.Errorf("%v: %s", err, asJSON.out)
	}
}

// Keys and key sets that two issuers share are faults, each on its line.
func TestTrustCheckShared(t *testing.T) {
	t.Parallel()
	file, kid := writeTrust(t, `issuers:
  - {issuer: https://shop.service/, keys: shop.pub.pem, allow: [GET /]}
  - {issuer: https://another.service/, keys: ./shop.pub.pem, allow: [GET /]}
  - {issuer: https://pair.service/, keys: copy.pem, allow: [GET /]}
  - {issuer: https://census.service/, keys: discover, allow: [GET /]}
  - {issuer: https://herald.service/, keys: https://census.service:443/.well-known/jwks.json, allow: [GET /]}
`)
	dir := filepath.Dir(file)
	if err := os.WriteFile(filepath.Join(dir, "copy.pem"), []byte(read(t, filepath.Join(dir, "shop.pub.pem"))), 0o600); err != nil {
		t.Fatal(err)
	}
	r := execute(t, "", "trust", "check", file)
	if r.status != exitFailed || r.out != "" {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{
		`:3: keys: ./shop.pub.pem is the key file of the issuer "https://shop.service/" (line 2) too`,
		`:4: keys: copy.pem: the key ` + kid + ` is that of the issuer "https://shop.service/" (line 2) too`,
		`:6: keys: https://census.service:443/.well-known/jwks.json is the key set of the issuer "https://census.service/" (line 5) too`,
		"3 faults",
	} {
		if !strings.Contains(r.err, want) {
			t.Errorf("no %q in\n%s", want, r.err)
		}
	}
}

func TestTrustCheckUnreadable(t *testing.T) {
	t.Parallel()
	yaml, _ := writeTrust(t, "issuers: [")
	for file, want := range map[string]string{"no-such.yaml": "no such file", yaml: yaml + ":1: not a YAML document"} {
		r := execute(t, "", "trust", "check", file)
		if r.status != exitFailed || strings.Count(r.err, "\n") != 2 || !strings.Contains(r.err, want) || r.out != "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestTrustCheckUsage(t *testing.T) {
	t.Parallel()
	const whole = `an incomplete command: one of trust check`
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"trust"}, whole},
		{[]string{"trust", "chek", "trust.yaml"}, whole},
		{[]string{"help", "trust"}, whole},
		{[]string{"trust", "check"}, "exactly one FILE is wanted, not 0"},
		{[]string{"trust", "check", "a", "b"}, "exactly one FILE is wanted, not 2"},
	} {
		execute(t, "", test.args...).mustFail(t, exitUsage, test.want)
	}
}
