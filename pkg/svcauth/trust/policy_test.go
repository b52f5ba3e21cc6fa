package trust_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// A policy is the same whether it is read from a file, parsed from text or made in Go.
func TestSamePolicy(t *testing.T) {
	t.Parallel()
	dir := trustDir(t)
	file := filepath.Join(dir, "trust.yaml")
	writeFile(t, file, []byte(goodTrust))
	read, err := trust.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := trust.Parse([]byte(goodTrust), dir)
	if err != nil {
		t.Fatal(err)
	}
	issuers := read.Issuers()
	for i := range issuers {
		if len(issuers[i].PublicKeys) > 0 {
			issuers[i].Keys = "" // the keys themselves are there
		}
	}
	made, err := trust.New(issuers...)
	if err != nil {
		t.Fatal(err)
	}
	for name, policy := range map[string]*trust.Policy{"parsed": parsed, "made": made} {
		for i, issuer := range policy.Issuers() {
			want := read.Issuers()[i]
			issuer.Keys, want.Keys = "", ""
			if got, want := fmt.Sprintf("%+v", issuer), fmt.Sprintf("%+v", want); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		e := policy.Entry("https://herald.service/")
		if !e.AllowsCall("GET", "/user/42/") || e.AllowsCall("POST", "/user/42/") || e.AllowsSubject("https://census.service/", false) {
			t.Errorf("%s: the policy does not allow herald what its entry says", name)
		}
	}
}

// The error of a policy that is made in Go names the entry. The error of a parsed text names the
// line.
func TestPolicyFaults(t *testing.T) {
	t.Parallel()
	key, other := generateKey(t, keys.EdDSA).Public(), generateKey(t, keys.ES256).Public()
	good := trust.Issuer{Name: "https://herald.service/", PublicKeys: []keys.Public{key}, Allow: []string{"GET /user/*"}}
	for _, tt := range []struct {
		want   string
		change func(*trust.Issuer)
	}{
		{"entry 2: an entry without issuer", func(i *trust.Issuer) { i.Name = "" }},
		{`entry 2: issuer: "x" is not an https URL`, func(i *trust.Issuer) { i.Name = "x" }},
		{`entry 2: unknown profile "x"`, func(i *trust.Issuer) { i.Profile = "x" }},
		{`entry 2: unknown algorithm "x"`, func(i *trust.Issuer) { i.Algorithms = []keys.Algorithm{"x"} }},
		{"entry 2: keys: a key for ES256, which algorithms leaves out", func(i *trust.Issuer) { i.Algorithms = []keys.Algorithm{keys.EdDSA} }},
		{"entry 2: the issuer \"https://shop.service/\" has no keys", func(i *trust.Issuer) { i.PublicKeys = nil }},
		{"entry 2: the issuer \"https://shop.service/\" has both Keys and PublicKeys", func(i *trust.Issuer) { i.Keys = "discover" }},
		{"entry 2: keys: two keys with the kid", func(i *trust.Issuer) { i.PublicKeys = []keys.Public{other, other} }},
		{`is that of the issuer "https://herald.service/" (entry 1) too`, func(i *trust.Issuer) { i.PublicKeys = []keys.Public{key} }},
		{`entry 2: allow: "x" is not a method`, func(i *trust.Issuer) { i.Allow = []string{"x"} }},
		{`entry 2: act_for: "x" is not an https URL`, func(i *trust.Issuer) { i.ActFor = []string{"x"} }},
		{"entry 2: insecure_no_expiry is for the profile article alone", func(i *trust.Issuer) { i.InsecureNoExpiry = true }},
		{`entry 2: a second entry for the issuer "https://herald.service/"`, func(i *trust.Issuer) { i.Name = good.Name }},
	} {
		second := trust.Issuer{Name: "https://shop.service/", PublicKeys: []keys.Public{other}, Allow: []string{"GET /user/*"}}
		tt.change(&second)
		if _, err := trust.New(good, second); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
	if _, err := trust.New(); err == nil || !strings.Contains(err.Error(), "no issuers") {
		t.Errorf("no issuers: %v", err)
	}
	if _, err := trust.Parse([]byte("issuers:\n  - issuer: x\n    realm: y\n"), ""); err == nil || !strings.Contains(err.Error(), "line 3: unknown key") {
		t.Errorf("parsed: %v", err)
	}
}

// Changing an issuer that a policy is made of, or returns, does not change the policy.
func TestPolicyIsImmutable(t *testing.T) {
	t.Parallel()
	issuer := trust.Issuer{Name: "https://herald.service/", Keys: "discover", Allow: []string{"GET /user/*"}}
	policy, err := trust.New(issuer)
	if err != nil {
		t.Fatal(err)
	}
	issuer.Allow[0] = "GET /a/*"
	policy.Issuers()[0].Allow[0] = "GET /b/*"
	if got := policy.Issuers()[0].Allow; !slices.Equal(got, []string{"GET /user/*"}) {
		t.Errorf("allow is %v", got)
	}
}
