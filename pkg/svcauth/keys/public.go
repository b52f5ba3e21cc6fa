package keys

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// A Public key verifies signatures with one algorithm. The zero value verifies nothing and is not
// to be used.
type Public struct {
	id         string
	alg        Algorithm
	key        crypto.PublicKey
	thumbprint string
}

// newPublic returns a public key whose ID is its thumbprint. A key that is weak or of another kind
// than the three algorithms' is an error.
func newPublic(key crypto.PublicKey) (Public, error) {
	alg, err := algorithmOf(key)
	if err != nil {
		return Public{}, err
	}
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256) // refuses low-order points of Ed25519, too
	if err != nil {
		return Public{}, fmt.Errorf("computing thumbprint: %w", err)
	}
	thumbprint := base64.RawURLEncoding.EncodeToString(sum)
	return Public{id: thumbprint, alg: alg, key: key, thumbprint: thumbprint}, nil
}

// ID returns the key's identifier, the "kid" of its tokens: that of its JWK, or its thumbprint.
func (p Public) ID() string { return p.id }

// Algorithm returns the only algorithm that the key verifies.
func (p Public) Algorithm() Algorithm { return p.alg }

// Thumbprint returns the JWK thumbprint (RFC 7638) with SHA-256, in base64url. It is the same for
// the same key, whatever its ID.
func (p Public) Thumbprint() string { return p.thumbprint }

// Verify returns an error unless signature is the key's JWS signature of signed.
func (p Public) Verify(signed string, signature []byte) error {
	return p.alg.method().Verify(signed, signature, p.key) //nolint:wrapcheck // golang-jwt's error says enough
}

// jwk returns the key as it is published.
func (p Public) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: p.key, KeyID: p.id, Algorithm: string(p.alg), Use: "sig"}
}

// pem returns the key as a PEM block (RFC 5280 SubjectPublicKeyInfo).
func (p Public) pem() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		return nil, fmt.Errorf("encoding public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
