package svcauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"example.com/micromachine/pkg/svcauth/keys"
)

// newFixedForger returns a forger with the key for alg that name determines. Its signatures are
// always the same: Ed25519, RSA PKCS #1 v1.5 and signES256 are deterministic.
func newFixedForger(t *testing.T, alg keys.Algorithm, name string) *forger {
	t.Helper()
	seed := sha256.Sum256([]byte(string(alg) + " " + name))
	switch alg {
	case keys.ES256:
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
		if err != nil {
			t.Fatal(err)
		}
		return forgerOf(t, alg, key)
	case keys.RS256:
		return forgerOf(t, alg, newFixedRSA(t, seed))
	default:
		return forgerOf(t, alg, ed25519.NewKeyFromSeed(seed[:]))
	}
}

// newFixedRSA returns a key of 2048 bits. Its primes are the first ones after two random numbers
// from the seed. The generator of crypto/rsa cannot be seeded.
func newFixedRSA(t *testing.T, seed [32]byte) *rsa.PrivateKey {
	t.Helper()
	random := rand.NewChaCha8(seed)
	p, q := fixedPrime(random), fixedPrime(random)
	one, e := big.NewInt(1), big.NewInt(65537)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: int(e.Int64())},
		D:         new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q},
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		t.Fatal(err)
	}
	return key
}

func fixedPrime(random *rand.ChaCha8) *big.Int {
	var start [128]byte
	_, _ = random.Read(start[:]) // never fails
	start[0] |= 0xc0             // so that the product of two primes has 2048 bits
	start[len(start)-1] |= 1
	p := new(big.Int).SetBytes(start[:])
	for !p.ProbablyPrime(20) {
		p.Add(p, big.NewInt(2))
	}
	return p
}

// signES256 returns the JWS signature (RFC 7518 section 3.4) with the deterministic ECDSA of RFC
// 6979.
func signES256(key *ecdsa.PrivateKey, input string) ([]byte, error) {
	digest := sha256.Sum256([]byte(input))
	der, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &signature); err != nil {
		return nil, err
	}
	return append(signature.R.FillBytes(make([]byte, 32)), signature.S.FillBytes(make([]byte, 32))...), nil
}

// vector returns the key as it is stored in the file of test vectors.
func (f *forger) vector(t *testing.T, issuer string) vectorKey {
	t.Helper()
	private, err := json.Marshal(jose.JSONWebKey{Key: f.key, KeyID: f.kid, Algorithm: f.alg, Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	return vectorKey{Issuer: issuer, Private: private, Public: json.RawMessage(f.jwk)}
}
