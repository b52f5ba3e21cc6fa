package svcauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"example.com/micromachine/pkg/fileperm"
)

// An Algorithm is a JWS signature algorithm (RFC 7518 section 3.1, RFC 8037). Every key is pinned to one.
type Algorithm string

const (
	// EdDSA with Ed25519 keys is the default: fast, small, and without parameters to get wrong.
	EdDSA Algorithm = "EdDSA"
	// ES256 is ECDSA on P-256 with SHA-256.
	ES256 Algorithm = "ES256"
	// RS256 is RSA PKCS #1 v1.5 with SHA-256, for keys of 2048 bits or more.
	RS256 Algorithm = "RS256"
)

// Bounds on RSA keys: under the minimum a key is too weak; over the maximum others refuse it, go-jose the modulus and
// crypto/rsa the exponent, and each verification costs too much.
const (
	minRSABits     = 2048
	maxRSABits     = 4096
	minRSAExponent = 1<<16 + 1
	maxRSAExponent = 1<<31 - 1
)

// valid reports whether a is one of the three algorithms.
func (a Algorithm) valid() bool { return a == EdDSA || a == ES256 || a == RS256 }

// method returns golang-jwt's implementation of a.
func (a Algorithm) method() jwt.SigningMethod { return jwt.GetSigningMethod(string(a)) }

// algorithmOf returns the one algorithm that a public key is for, or says why the key is not to be trusted.
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
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return "", fmt.Errorf("RSA key of %d bits: must be %d to %d", bits, minRSABits, maxRSABits)
		}
		if k.E < minRSAExponent || k.E > maxRSAExponent || k.E%2 == 0 {
			return "", fmt.Errorf("RSA key with exponent %d: must be odd and %d to %d", k.E, minRSAExponent, maxRSAExponent)
		}
		if err := checkModulus(k.N); err != nil {
			return "", err
		}
		return RS256, nil
	default:
		return "", fmt.Errorf("no algorithm for a key of type %T", key)
	}
}

// A publicKey verifies the tokens of one issuer, with one algorithm.
type publicKey struct {
	id         string // the kid
	alg        Algorithm
	key        crypto.PublicKey
	thumbprint string // RFC 7638: the same for the same key, whatever its kid
}

func newPublicKey(key crypto.PublicKey) (publicKey, error) {
	alg, err := algorithmOf(key)
	if err != nil {
		return publicKey{}, err
	}
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256) // refuses low-order points of Ed25519, too
	if err != nil {
		return publicKey{}, fmt.Errorf("computing thumbprint: %w", err)
	}
	thumbprint := base64.RawURLEncoding.EncodeToString(sum)
	return publicKey{id: thumbprint, alg: alg, key: key, thumbprint: thumbprint}, nil
}

// A PrivateKey signs a service's tokens. It is safe for concurrent use.
type PrivateKey struct {
	public publicKey
	signer crypto.Signer
}

// GenerateKey makes a new key for alg; RSA keys have 3072 bits.
func GenerateKey(alg Algorithm) (*PrivateKey, error) {
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
	return newPrivateKey(signer)
}

// LoadKey reads a private key from a PEM file with one PKCS #8 block (RFC 5958), as
// [PrivateKey.Save] and "openssl genpkey" write it. The kind of key decides its algorithm.
//
// A file that other users can read or change is an error: its mode must be 0600 or less. One that
// belongs to root may be readable by its group, 0640 or 0440, when the process does not run as
// root, as a secret that Kubernetes mounts with fsGroup is. Where the platform cannot say who else
// has access, a warning is logged to [slog.Default] instead.
func LoadKey(file string) (*PrivateKey, error) {
	data, err := readSecret(file)
	if err != nil {
		return nil, fmt.Errorf("loading private key: %w", err)
	}
	key, err := parsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("loading private key: %s: %w", file, err)
	}
	return key, nil
}

// readSecret reads a file that only its owner may have access to.
func readSecret(file string) (data []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := fileperm.Secret(file, info); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

func parsePrivateKey(data []byte) (*PrivateKey, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	if block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("a PEM block of type %q where PKCS #8 \"PRIVATE KEY\" is wanted", block.Type)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errors.New("more than one PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing PKCS #8: %w", err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", parsed)
	}
	return newPrivateKey(signer)
}

func newPrivateKey(signer crypto.Signer) (*PrivateKey, error) {
	public, err := newPublicKey(signer.Public())
	if err != nil {
		return nil, err
	}
	return &PrivateKey{public: public, signer: signer}, nil
}

// ID returns the key's identifier, the "kid" of its tokens: its JWK thumbprint (RFC 7638) with SHA-256, in base64url.
func (k *PrivateKey) ID() string { return k.public.id }

// Algorithm returns the algorithm that the key signs with.
func (k *PrivateKey) Algorithm() Algorithm { return k.public.alg }

// PublicPEM returns the public half as a PEM block (RFC 5280 SubjectPublicKeyInfo), for a receiver's trust file.
func (k *PrivateKey) PublicPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.public.key)
	if err != nil {
		return nil, fmt.Errorf("encoding public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// Save writes the key to a new file as PKCS #8 PEM, readable by its owner alone. It never overwrites: a file that is
// there already is an error that satisfies errors.Is(err, fs.ErrExist).
func (k *PrivateKey) Save(file string) error {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return fmt.Errorf("encoding private key: %w", err)
	}
	return writeNew(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// writeNew creates file with mode 0600 and data. What it cannot write whole it removes again.
func writeNew(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing private key: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing private key: %w", err), os.Remove(file))
	}
	return nil
}
