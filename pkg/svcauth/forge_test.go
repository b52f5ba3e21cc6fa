package svcauth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"example.com/micromachine/pkg/svcauth/keys"
)

// A forger signs whatever bytes it is given, as an attacker who has a key could. It shares no code
// with the package's signer.
type forger struct {
	alg    string
	key    any // as golang-jwt's method for alg wants it
	kid    string
	public []byte // PEM
	jwk    string
}

// newForger returns a forger with a new key for alg. Its key ID is the one that package keys
// derives.
func newForger(tb testing.TB, alg keys.Algorithm) *forger {
	tb.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case keys.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case keys.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case keys.RS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return forgerOf(tb, alg, key)
}

// forgerOf returns a forger with that key for alg.
func forgerOf(tb testing.TB, alg keys.Algorithm, key crypto.Signer) *forger {
	tb.Helper()
	loaded := loadKey(tb, key)
	public, err := loaded.PublicPEM()
	if err != nil {
		tb.Fatal(err)
	}
	set, err := keys.MarshalJWKS(loaded)
	if err != nil {
		tb.Fatal(err)
	}
	jwk := strings.TrimSuffix(strings.TrimPrefix(string(set), `{"keys":[`), "]}")
	return &forger{alg: string(alg), key: key, kid: loaded.ID(), public: public, jwk: jwk}
}

// loadKey writes a key to a PEM file and loads it with package keys.
func loadKey(tb testing.TB, key crypto.Signer) *keys.Private {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "key.pem")
	writeFile(tb, file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	loaded, err := keys.Load(file)
	if err != nil {
		tb.Fatal(err)
	}
	return loaded
}

func writeFile(tb testing.TB, file string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// sign returns the signature over input with any algorithm that golang-jwt knows, "none" included.
func (f *forger) sign(input string) ([]byte, error) {
	if f.alg == "none" {
		return nil, nil
	}
	if factored, ok := f.key.(*factoredKey); ok {
		return factored.sign(input), nil
	}
	if key, ok := f.key.(*ecdsa.PrivateKey); ok && f.alg == string(keys.ES256) {
		return signES256(key, input)
	}
	return jwt.GetSigningMethod(f.alg).Sign(input, f.key)
}

// An object is a JSON object that keeps the order of its members, and duplicates.
type object []field

// A field is a member of an object. Both parts are JSON text, the name without its quotes.
type field struct{ name, raw string }

func (o object) get(name string) string {
	for _, f := range o {
		if f.name == name {
			return f.raw
		}
	}
	return ""
}

func (o *object) set(name, raw string) {
	for i, f := range *o {
		if f.name == name {
			(*o)[i].raw = raw
			return
		}
	}
	*o = append(*o, field{name, raw})
}

func (o *object) remove(name string) {
	kept := object{}
	for _, f := range *o {
		if f.name != name {
			kept = append(kept, f)
		}
	}
	*o = kept
}

func (o object) String() string {
	members := make([]string, 0, len(o))
	for _, f := range o {
		members = append(members, fmt.Sprintf(`"%s":%s`, f.name, f.raw))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// quote returns s as a JSON string.
func quote(s string) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSpace(text.String())
}

func base64URL(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func sha256Body(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func md5Body(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}
