package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// goodTrust is a trust file without faults, which the tests put faults into.
const goodTrust = `issuers:
  - issuer: https://herald.service/
    profile: bound
    algorithms: [EdDSA]
    keys: herald.pub.pem
    allow: [GET /user/*]
    act_for: [https://census.service/user/*]
    admin: false
  - issuer: https://another.service/
    profile: article
    keys: https://another.service/keys.json
    allow:
      - POST /notification/
    insecure_no_expiry: true
  - issuer: https://census.service/
    sessions: true
    keys: discover
`

// trustDir returns a directory with the key file herald.pub.pem, and with key files that have
// different faults.
func trustDir(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	good := publicPEM(tb, keys.EdDSA)
	weak, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	p384, err := x509.MarshalPKIXPublicKey(weak.Public())
	if err != nil {
		tb.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"herald.pub.pem": good,
		"empty.pem":      nil,
		"twice.pem":      append(good, good...),
		"cut.pem":        append(good, good[:len(good)-20]...),
		"ec.pem":         publicPEM(tb, keys.ES256),
		"p384.pem":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p384}),
		"private.pem":    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}),
		"oct.json":       []byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`),
		"none.json":      []byte(`{"keys":[]}`),
	} {
		writeFile(tb, filepath.Join(dir, name), data)
	}
	return dir
}

// Each fault of a trust file is an error that names file, line and value.
func TestTrustFaults(t *testing.T) {
	dir := trustDir(t)
	file := filepath.Join(dir, "trust.yaml")
	for _, tt := range []struct {
		name     string
		old, new string // new replaces old in goodTrust, or all of it if old is empty
		want     string // without the directory
	}{
		{"empty file", "", "", `trust.yaml:1: not a YAML document: EOF`},
		{"not YAML", "issuers:\n", "issuers: [\n", `trust.yaml:1: not a YAML document: did not find`},
		{"tab", "    keys: herald", "\tkeys: herald", `trust.yaml:5: not a YAML document: found character`},
		{"null", "", "---\n", `trust.yaml:2: "" where a mapping is wanted`},
		{"scalar", "", "trust\n", `trust.yaml:1: "trust" where a mapping is wanted`},
		{"list at the top", "", "- issuer: x\n", `trust.yaml:1: "" where a mapping is wanted`},
		{"no issuers", "", "issuers: []\n", `trust.yaml:1: "" where a list with at least one item is wanted`},
		{"empty mapping", "", "{}\n", `trust.yaml:1: no issuers`},
		{"two documents", "  - issuer: https://census", "---\nissuers:\n  - issuer: https://census", `trust.yaml:15: a second YAML document`},
		{"second document that is bad", "  - issuer: https://census", "---\n[\n  - issuer: https://census", `trust.yaml:16: not a YAML document: `},
		{"unknown key at the top", "", goodTrust + "realm:\n  - x\n", `trust.yaml:18: unknown key "realm"`},
		{"unknown key", "act_for:", "act-for:", `trust.yaml:7: unknown key "act-for"`},
		{"unknown key with a value", "admin: false", "superuser: false", `trust.yaml:8: unknown key "superuser" (value "false")`},
		{"key in other case", "profile: bound", "Profile: bound", `trust.yaml:3: unknown key "Profile" (value "bound")`},
		{"key twice", "admin: false", "admin: false\n    admin: true", `trust.yaml:9: duplicate key "admin"`},
		{"key that is a number", "admin: false", "1: false", `trust.yaml:8: "1" where a key is wanted`},
		{"key that is a list", "admin: false", "? [admin]\n    : false", `trust.yaml:8: "" where a key is wanted`},
		{"key that is an alias", "profile: bound\n", "profile: &admin bound\n    *admin : true\n", `trust.yaml:4: "admin" where a key is wanted`},
		{"merge key", "admin: false", "<<: {admin: true}", `trust.yaml:8: "<<" where a key is wanted`},
		{"alias for a text", "https://herald.service/\n    profile: bound", "&a https://herald.service/\n    profile: *a", `trust.yaml:3: "a" where a text is wanted`},
		{"alias for a list", "allow: [GET /user/*]", "allow: *a", `unknown anchor`},
		{"alias for an entry", "", "issuers:\n  - &a {issuer: x}\n  - *a\n", `trust.yaml:3: "a" where a mapping is wanted`},
		{"no issuer", "  - issuer: https://herald.service/\n    profile", "  - profile", `trust.yaml:2: an entry without issuer`},
		{"issuer that is a number", "issuer: https://herald.service/", "issuer: 42", `trust.yaml:2: "42" where a text is wanted`},
		{"issuer over http", "issuer: https://herald", "issuer: http://herald", `trust.yaml:2: issuer: "http://herald.service/" is not an https URL`},
		{"issuer without a slash", "herald.service/", "herald.service", `trust.yaml:2: issuer: "https://herald.service" does not end with a slash`},
		{"issuer in upper case", "https://herald", "https://Herald", `trust.yaml:2: issuer: "https://Herald.service/" is not in its canonical form`},
		{"issuer with a query", "herald.service/", "herald.service/?x", `trust.yaml:2: issuer: "https://herald.service/?x" has more than scheme, host and path`},
		{"issuer with user info", "https://herald", "https://x@herald", `trust.yaml:2: issuer: "https://x@herald.service/" has more than scheme, host and path`},
		{"issuer with double dots", "herald.service/", "herald.service/../", `trust.yaml:2: issuer: the path of "https://herald.service/../" is not clean`},
		{"second entry", "https://another.service/\n", "https://herald.service/\n", `trust.yaml:9: a second entry for the issuer "https://herald.service/"`},
		{"unknown profile", "profile: bound", "profile: strict", `trust.yaml:3: unknown profile "strict"`},
		{"unknown algorithm", "[EdDSA]", "[EdDSA, HS256]", `trust.yaml:4: unknown algorithm "HS256"`},
		{"algorithm none", "[EdDSA]", "[none]", `trust.yaml:4: unknown algorithm "none"`},
		{"algorithms as a text", "[EdDSA]", "EdDSA", `trust.yaml:4: "EdDSA" where a list with at least one item is wanted`},
		{"no algorithms", "[EdDSA]", "[]", `trust.yaml:4: "" where a list with at least one item is wanted`},
		{"key of an algorithm left out", "keys: herald.pub.pem", "keys: ec.pem", `trust.yaml:5: keys: ec.pem: a key for ES256, which algorithms leaves out`},
		{"no keys", "    keys: herald.pub.pem\n", "", `trust.yaml:2: the issuer "https://herald.service/" has no keys`},
		{"keys is a list", "keys: herald.pub.pem", "keys: [herald.pub.pem]", `trust.yaml:5: "" where a text is wanted`},
		{"missing key file", "herald.pub.pem", "gone.pem", `trust.yaml:5: keys: stat `},
		{"empty key file", "herald.pub.pem", "empty.pem", `trust.yaml:5: keys: empty.pem: neither PEM public keys nor a JWK Set`},
		{"key file with a key twice", "herald.pub.pem", "twice.pem", `trust.yaml:5: keys: twice.pem: two keys with the kid`},
		{"key file that is cut short", "herald.pub.pem", "cut.pem", `trust.yaml:5: keys: cut.pem: 1 of 2 PEM blocks can be read`},
		{"key on P-384", "herald.pub.pem", "p384.pem", `trust.yaml:5: keys: p384.pem: no algorithm for an EC key on P-384`},
		{"private key", "herald.pub.pem", "private.pem", `trust.yaml:5: keys: private.pem: a PEM block of type "PRIVATE KEY"`},
		{"symmetric key", "herald.pub.pem", "oct.json", `trust.yaml:5: keys: oct.json: key 0 of the JWK Set: not a public key: it has the private member "k"`},
		{"empty key set", "herald.pub.pem", "none.json", `trust.yaml:5: keys: none.json: no usable key in the JWK Set`},
		{"keys over http", "https://another.service/keys.json", "http://another.service/keys.json", `trust.yaml:11: keys: "http://another.service/keys.json" is not an https URL`},
		{"keys with user info", "https://another.service/keys.json", "https://x:y@another.service/", `trust.yaml:11: keys: "https://x:y@another.service/" is not an https URL`},
		{"allow as a text", "[GET /user/*]", "GET /user/*", `trust.yaml:6: "GET /user/*" where a list with at least one item is wanted`},
		{"allow without a method", "[GET /user/*]", "[/user/*]", `trust.yaml:6: allow: "/user/*" is not a method in capitals, a space and a path`},
		{"allow in lower case", "GET /user/*", "get /user/*", `trust.yaml:6: allow: "get /user/*" is not a method in capitals`},
		{"allow any method", "GET /user/*", `"* /user/*"`, `trust.yaml:6: allow: "* /user/*" is not a method in capitals`},
		{"allow a URL", "GET /user/*", "GET https://census.service/user/*", `trust.yaml:6: allow: "https://census.service/user/*" is not a clean path`},
		{"allow half a segment", "GET /user/*", "GET /us*", `trust.yaml:6: allow: in "/us*", a * must stand for a whole segment`},
		{"allow with double dots", "POST /notification/", "POST /notification/../", `trust.yaml:13: allow: "/notification/../" is not a clean path`},
		{"allow with a query", "[GET /user/*]", `["GET /user/*?x=1"]`, `trust.yaml:6: allow: "/user/*?x=1" is not a clean path`},
		{"allow with two spaces", "GET /user/*", "GET  /user/*", `trust.yaml:6: allow: " /user/*" is not a clean path`},
		{"act_for over http", "https://census.service/user/*", "http://census.service/user/*", `trust.yaml:7: act_for: "http://census.service/user/*" is not an https URL`},
		{"act_for any host", "https://census.service/user/*", `"https://*.service/user/*"`, `trust.yaml:7: act_for: "https://*.service/user/*" has a * in its host`},
		{"act_for with user info", "https://census.service/user/*", "https://x@census.service/user/*", `trust.yaml:7: act_for: "https://x@census.service/" has more`},
		{"act_for with a query", "https://census.service/user/*", `"https://census.service/user/*?x"`, `trust.yaml:7: act_for: "https://census.service/user/*?x" has a query`},
		{"act_for in upper case", "https://census.service/user/*", "https://Census.service/user/*", `trust.yaml:7: act_for: "https://Census.service/" is not in its canonical form`},
		{"act_for without a path", "https://census.service/user/*", "https://census.service", `trust.yaml:7: act_for: "" is not a clean path`},
		{"flag as a text", "admin: false", `admin: "false"`, `trust.yaml:8: "false" where true or false is wanted`},
		{"flag as yes", "admin: false", "admin: yes", `trust.yaml:8: "yes" where true or false is wanted`},
		{"flag as a number", "sessions: true", "sessions: 1", `trust.yaml:16: "1" where true or false is wanted`},
		{"bound tokens without expiry", "admin: false", "insecure_no_expiry: true", `trust.yaml:8: insecure_no_expiry is for the profile article alone`},
		{"entry that allows nothing", "    sessions: true\n", "", `trust.yaml:15: the issuer "https://census.service/" is allowed nothing`},
		{"act_for without calls", "    sessions: true\n", "    sessions: true\n    act_for: [https://census.service/user/*]\n", `trust.yaml:15: act_for and admin are for calls`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := tt.new
			if tt.old != "" {
				text = swap(t, goodTrust, tt.old, tt.new)
			}
			writeFile(t, file, []byte(text))
			_, err := trust.ReadFile(file)
			if err == nil {
				t.Fatalf("no error for\n%s", text)
			}
			if got := strings.ReplaceAll(err.Error(), dir+"/", ""); !strings.Contains(got, tt.want) {
				t.Errorf("error %q, want %q", got, tt.want)
			}
			if !strings.Contains(err.Error(), file) {
				t.Errorf("error %q does not name the file", err)
			}
		})
	}
}

// A key belongs to one issuer. Keys, key files and URLs that two entries share are faults, whatever
// form they are written in.
func TestSharedKeys(t *testing.T) {
	dir := trustDir(t)
	key, other := generateKey(t, keys.EdDSA), generateKey(t, keys.ES256)
	writeKeyFiles(t, dir, key, other)
	file := filepath.Join(dir, "trust.yaml")
	const set, shared = `the key set of the issuer "https://a.service/"`, `the key file of the issuer "https://a.service/"`
	same := `the key ` + key.ID() + ` is that of the issuer "https://a.service/"`
	for _, tt := range []struct{ name, first, second, want string }{
		{"the same file", "key.pem", "key.pem", shared + ` (line 3) too`},
		{"the same file, other path", "key.pem", "./sub/../key.pem", shared + ` (line 3) too`},
		{"the same file, absolute", "key.pem", filepath.Join(dir, "key.pem"), shared},
		{"symbolic link", "key.pem", "link.pem", shared},
		{"hard link", "hard.pem", "key.pem", shared},
		{"copy", "key.pem", "copy.pem", same + ` (line 3) too`},
		{"as JWK", "key.pem", "key.json", same},
		{"as JWK with another kid", "named.json", "key.pem", same},
		{"one of two", "key.pem", "both.pem", same},
		{"the same URL", "https://keys.service/k", "https://keys.service/k", set + ` (line 3) too`},
		{"host in capitals", "https://keys.service/k", "HTTPS://KEYS.service/k", set},
		{"default port", "https://keys.service:443/k", "https://keys.service/k", set},
		{"empty port", "https://keys.service/k", "https://keys.service:/k", set},
		{"port with zeros", "https://keys.service/k", "https://keys.service:0443/k", set},
		{"dot after the host", "https://keys.service/k", "https://keys.service./k", set},
		{"discovered by both names", "discover", "https://a.service/.well-known/jwks.json", set},
		{"named before it is discovered", "https://b.service/.well-known/jwks.json", "discover", set},
		{"percent-encoded", "https://keys.service/jwks", "https://keys.service/%6Awks", set},
		{"percent-encoded in other case", "https://keys.service/a%2fb", "https://keys.service/a%2Fb", set},
		{"dot segments", "https://keys.service/a/k", "https://keys.service/a/./b/../k", set},
		{"no path", "https://keys.service", "https://keys.service/", set},
		{"empty query", "https://keys.service/k?", "https://keys.service/k", set},
		{"IPv6 address", "https://[::1]/k", "https://[0:0:0:0:0:0:0:1]/k", set},
		{"IPv4 address in IPv6", "https://127.0.0.1/k", "https://[::ffff:127.0.0.1]/k", set},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const entry = "  - issuer: https://%s.service/\n    keys: %q\n    allow: [GET /user/*]\n"
			writeFile(t, file, fmt.Appendf(nil, "issuers:\n"+entry+entry, "a", tt.first, "b", tt.second))
			_, err := trust.ReadFile(file)
			if err == nil || !strings.Contains(err.Error(), file+":6: keys: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if err != nil && strings.Count(err.Error(), file+":") != 1 {
				t.Errorf("more than one fault: %v", err)
			}
		})
	}
}

// writeKeyFiles writes key as files of several forms into dir, some of them together with another.
func writeKeyFiles(t *testing.T, dir string, key, other *keys.Private) {
	t.Helper()
	public, err := key.PublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	second, err := other.PublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	set, err := keys.MarshalJWKS(key)
	if err != nil {
		t.Fatal(err)
	}
	named := strings.NewReplacer(`"kid":"`+key.ID()+`"`, `"kid":"a"`, `"alg":"EdDSA",`, ``).Replace(string(set))
	for name, data := range map[string]string{
		"key.pem": string(public), "copy.pem": string(public), "key.json": string(set), "named.json": named, "both.pem": string(second) + string(public),
	} {
		writeFile(t, filepath.Join(dir, name), []byte(data))
	}
	if err := errors.Join(
		os.Mkdir(filepath.Join(dir, "sub"), 0o700),
		os.Symlink("key.pem", filepath.Join(dir, "link.pem")),
		os.Link(filepath.Join(dir, "key.pem"), filepath.Join(dir, "hard.pem")),
	); err != nil {
		t.Fatal(err)
	}
}

// Keys of different issuers may be at similar URLs.
func TestUnsharedKeys(t *testing.T) {
	dir := trustDir(t)
	file := filepath.Join(dir, "trust.yaml")
	urls := []string{
		"discover", "https://keys.service/a", "https://keys.service/A", "https://keys.service/a/", "https://keys.service/a?b", "https://keys.service/a?B",
		"https://keys.service:8443/a", "https://keys2.service/a", "https://keys.service/a%2Fb", "https://keys.service/a/b", "https://[::1]/a",
		"herald.pub.pem", "ec.pem",
	}
	text := "issuers:\n"
	for i, source := range urls {
		text += fmt.Sprintf("  - {issuer: https://s%d.service/, keys: %q, allow: [GET /user/*]}\n", i, source)
	}
	writeFile(t, file, []byte(text))
	if _, err := trust.ReadFile(file); err != nil {
		t.Error(err)
	}
}

// All faults of a file are reported in one error, each with its line.
func TestSeveralTrustFaults(t *testing.T) {
	dir := trustDir(t)
	file := filepath.Join(dir, "trust.yaml")
	text := strings.NewReplacer("profile: bound", "profil: bound", "[EdDSA]", "[RS384]", "sessions: true", "sessions: 1").Replace(goodTrust)
	writeFile(t, file, []byte(text))
	_, err := trust.ReadFile(file)
	for _, want := range []string{":3: unknown key", ":4: ", ":16: "} {
		if err == nil || !strings.Contains(err.Error(), file+want) {
			t.Errorf("error %v lacks %q", err, file+want)
		}
	}
}

func TestTrustFileMissing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trust.yaml")
	_, err := trust.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
}

// A file with every key is read without error, from whatever directory.
func TestGoodTrust(t *testing.T) {
	dir := trustDir(t)
	file := filepath.Join(dir, "trust.yaml")
	writeFile(t, file, []byte(goodTrust))
	if _, err := trust.ReadFile(file); err != nil {
		t.Error(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "trust.yaml")
	writeFile(t, elsewhere, []byte(strings.Replace(goodTrust, "herald.pub.pem", filepath.Join(dir, "herald.pub.pem"), 1)))
	if _, err := trust.ReadFile(elsewhere); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "herald.pub.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.ReadFile(file); err == nil {
		t.Error("no error without the key file")
	}
}
