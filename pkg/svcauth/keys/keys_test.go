package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

var algorithms = []keys.Algorithm{keys.EdDSA, keys.ES256, keys.RS256}

func generateKey(tb testing.TB, alg keys.Algorithm) *keys.Private {
	tb.Helper()
	key, err := keys.Generate(alg)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// A saved key is loaded as the same key. Only the owner can read its file, which is never
// overwritten.
func TestSaveAndLoadKey(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			key := generateKey(t, alg)
			file := filepath.Join(t.TempDir(), "key.pem")
			if err := key.Save(file); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(file)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			loaded, err := keys.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if loaded.ID() != key.ID() || loaded.Algorithm() != alg || len(key.ID()) != 43 {
				t.Errorf("loaded %s for %s, saved %s for %s", loaded.ID(), loaded.Algorithm(), key.ID(), alg)
			}
			before, _ := os.ReadFile(file)
			if err := generateKey(t, keys.EdDSA).Save(file); !errors.Is(err, fs.ErrExist) {
				t.Errorf("saving over a file: %v", err)
			}
			if after, _ := os.ReadFile(file); !bytes.Equal(after, before) {
				t.Error("the file was overwritten")
			}
		})
	}
}

func TestSaveKeyFaults(t *testing.T) {
	t.Parallel()
	key, dir := generateKey(t, keys.EdDSA), t.TempDir()
	if err := key.Save(filepath.Join(dir, "none", "key.pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("saving into no directory: %v", err)
	}
	dangling := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), dangling); err != nil {
		t.Fatal(err)
	}
	if err := key.Save(dangling); !errors.Is(err, fs.ErrExist) {
		t.Errorf("saving through a link: %v", err)
	}
}

func TestGenerateKeyUnknownAlgorithm(t *testing.T) {
	t.Parallel()
	for _, alg := range []keys.Algorithm{"", "none", "HS256", "PS256", "eddsa"} {
		if _, err := keys.Generate(alg); err == nil || !strings.Contains(err.Error(), `unknown algorithm "`+string(alg)+`"`) {
			t.Errorf("%q: error %v", alg, err)
		}
	}
}

// Loading a private key that is too weak, or of another type or format, is an error that names the
// file and the reason.
func TestLoadKeyFaults(t *testing.T) {
	t.Parallel()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := pkcs8(t, ed)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty file", nil, "no PEM block"},
		{"DER", []byte{0x30, 0x2e}, "no PEM block"},
		{"public key", publicPEM(t, keys.EdDSA), `a PEM block of type "PUBLIC KEY"`},
		{"PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak)), `a PEM block of type "RSA PRIVATE KEY"`},
		{"SEC 1", block("EC PRIVATE KEY", sec1), `a PEM block of type "EC PRIVATE KEY"`},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte{1}), `a PEM block of type "ENCRYPTED PRIVATE KEY"`},
		{"two keys", append(good, pkcs8(t, p256)...), "more than one PEM block"},
		{"garbage", block("PRIVATE KEY", []byte("garbage")), "parsing PKCS #8"},
		{"RSA of 1024 bits", pkcs8(t, weak), "RSA key of 1024 bits: must be 2048 to 4096"},
		{"P-384", pkcs8(t, p384), "no algorithm for an EC key on P-384"},
		{"X25519", pkcs8(t, x25519), "a key of type *ecdh.PrivateKey cannot sign"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "key.pem")
			writeFile(t, file, tt.data)
			_, err := keys.Load(file)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v, want one that names the file and %q", err, tt.want)
			}
		})
	}
	if _, err := keys.Load(filepath.Join(t.TempDir(), "key.pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(tb testing.TB, key any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

// A public key that is too weak is an error that names the reason.
func TestWeakPublicKeys(t *testing.T) {
	t.Parallel()
	ofBits := func(bits uint) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return n.Add(n, big.NewInt(15))
	}
	sound := modulus(t, modulus2048)
	lowOrder := func(first, last byte) ed25519.PublicKey {
		point := make([]byte, ed25519.PublicKeySize)
		point[0], point[31] = first, last
		return point
	}
	for _, tt := range []struct {
		name string
		key  crypto.PublicKey
		want string // empty: accepted
	}{
		{"RSA of 2048 bits", &rsa.PublicKey{N: sound, E: 65537}, ""},
		{"RSA of 4096 bits", &rsa.PublicKey{N: modulus(t, modulus4096), E: 65537}, ""},
		{"RSA of 2047 bits", &rsa.PublicKey{N: ofBits(2047), E: 65537}, "RSA key of 2047 bits"},
		{"RSA of 4097 bits", &rsa.PublicKey{N: ofBits(4097), E: 65537}, "RSA key of 4097 bits"},
		{"RSA with exponent 3", &rsa.PublicKey{N: sound, E: 3}, "RSA key with exponent 3"},
		{"RSA with an even exponent", &rsa.PublicKey{N: sound, E: 65538}, "RSA key with exponent 65538"},
		{"RSA with an exponent of 33 bits", &rsa.PublicKey{N: sound, E: 1<<32 + 1}, "RSA key with exponent 4294967297"},
		{"Ed25519 neutral point", lowOrder(1, 0), "low-order point"},
		{"Ed25519 neutral point, sign set", lowOrder(1, 0x80), "low-order point"},
		{"Ed25519 point of order 4", lowOrder(0, 0), "low-order point"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			der, err := x509.MarshalPKIXPublicKey(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "key.pem"), block("PUBLIC KEY", der))
			file := filepath.Join(dir, "trust.yaml")
			writeFile(t, file, []byte("issuers: [{issuer: https://herald.service/, keys: key.pem, allow: [GET /]}]"))
			switch _, err := trust.ReadFile(file); {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
