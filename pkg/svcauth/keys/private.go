package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
)

// Signing is the source of a service's own keys: a [*Private], which is one key for ever, or
// [*Files], whose keys are rotated. Its methods are safe for concurrent use.
type Signing interface {
	// SigningKey returns the key that signs now.
	SigningKey() *Private
	// PublishedKeys returns the keys that receivers must know now: the one that signs, the one that
	// signs next, and those whose last tokens are still valid.
	PublishedKeys() []*Private
}

// A Private key signs a service's tokens. It is safe for concurrent use.
type Private struct {
	public Public
	memory crypto.Signer // nil if the key is elsewhere
	remote *remote       // nil if the key is in memory
}

// Generate returns a new key for alg. RSA keys have 3072 bits.
func Generate(alg Algorithm) (*Private, error) {
	var signer crypto.Signer
	var err error
	switch alg {
	case EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		signer, err = rsa.GenerateKey(rand.Reader, 3072)
	default:
		return nil, fmt.Errorf("unknown algorithm %q: must be %s, %s or %s", alg, EdDSA, ES256, RS256)
	}
	if err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	return newPrivate(signer)
}

// FromSigner returns a key that signs with signer, such as one whose key never leaves a KMS or an
// HSM. It calls signer's Public once. Each signature is verified before it is used. A signature
// that is wrong, or takes longer than [SignTimeout], is an error. At most 64 calls of signer run at
// a time, those included that have not returned in time. signer must be safe for concurrent use.
func FromSigner(signer crypto.Signer) (*Private, error) {
	switch signer.(type) {
	case ed25519.PrivateKey, *ecdsa.PrivateKey, *rsa.PrivateKey:
		return newPrivate(signer)
	case nil:
		return nil, errors.New("no signer")
	}
	public, err := newPublic(signer.Public())
	if err != nil {
		return nil, err
	}
	return &Private{public: public, remote: newRemote(signer, public)}, nil
}

// newPrivate returns a key in memory.
func newPrivate(signer crypto.Signer) (*Private, error) {
	public, err := newPublic(signer.Public())
	if err != nil {
		return nil, err
	}
	return &Private{public: public, memory: signer}, nil
}

// ID returns the key's identifier, the "kid" of its tokens: its JWK thumbprint (RFC 7638) with
// SHA-256, in base64url.
func (k *Private) ID() string { return k.public.id }

// Algorithm returns the algorithm that the key signs with.
func (k *Private) Algorithm() Algorithm { return k.public.alg }

// Public returns the public half.
func (k *Private) Public() Public { return k.public }

// PublicPEM returns the public half as a PEM block (RFC 5280 SubjectPublicKeyInfo), for a
// receiver's trust file.
func (k *Private) PublicPEM() ([]byte, error) { return k.public.pem() }

// Sign returns the JWS signature of signed. ctx can end the wait for a signer of [FromSigner].
func (k *Private) Sign(ctx context.Context, signed string) (signature []byte, err error) {
	if k.remote != nil {
		signature, err = k.remote.sign(ctx, signed)
	} else {
		signature, err = k.public.alg.method().Sign(signed, k.memory)
	}
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return signature, nil
}

// SigningKey implements [Signing].
func (k *Private) SigningKey() *Private { return k }

// PublishedKeys implements [Signing].
func (k *Private) PublishedKeys() []*Private { return []*Private{k} }
