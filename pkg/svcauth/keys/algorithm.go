package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// An Algorithm is a JWS signature algorithm (RFC 7518 section 3.1, RFC 8037). Every key has one.
type Algorithm string

const (
	// EdDSA with Ed25519 keys is the default: fast, small, and without parameters to get wrong.
	EdDSA Algorithm = "EdDSA"
	// ES256 is ECDSA on P-256 with SHA-256.
	ES256 Algorithm = "ES256"
	// RS256 is RSA PKCS #1 v1.5 with SHA-256, for keys of 2048 bits or more.
	RS256 Algorithm = "RS256"
)

// Bounds on RSA keys. A key under the minimum is too weak. A key over the maximum costs too much
// for each verification, and is refused by go-jose for its modulus or by crypto/rsa for its
// exponent.
const (
	minRSABits     = 2048
	maxRSABits     = 4096
	minRSAExponent = 1<<16 + 1
	maxRSAExponent = 1<<31 - 1
)

// Valid reports whether a is one of the three algorithms.
func (a Algorithm) Valid() bool { return a == EdDSA || a == ES256 || a == RS256 }

// method returns golang-jwt's implementation of a.
func (a Algorithm) method() jwt.SigningMethod { return jwt.GetSigningMethod(string(a)) }

// algorithmOf returns the algorithm of a public key. A key that is too weak or of another kind is
// an error.
func algorithmOf(key crypto.PublicKey) (Algorithm, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return EdDSA, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", fmt.Errorf("no algorithm for an EC key on %s: only P-256 (ES256)", k.Curve.Params().Name)
		}
		return ES256, nil
	case *rsa.PublicKey:
		return RS256, checkRSA(k)
	default:
		return "", fmt.Errorf("no algorithm for a key of type %T", key)
	}
}

func checkRSA(k *rsa.PublicKey) error {
	if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("RSA key of %d bits: must be %d to %d", bits, minRSABits, maxRSABits)
	}
	if k.E < minRSAExponent || k.E > maxRSAExponent || k.E%2 == 0 {
		return fmt.Errorf("RSA key with exponent %d: must be odd and %d to %d", k.E, minRSAExponent, maxRSAExponent)
	}
	return checkModulus(k.N)
}
