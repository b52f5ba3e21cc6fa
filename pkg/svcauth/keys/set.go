package keys

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"example.com/micromachine/pkg/logsafe"
)

// Bounds on a key set that is read.
const (
	// MaxJWKSBytes is the largest JWK Set that is read.
	MaxJWKSBytes = 256 << 10
	maxJWKSKeys  = 100
)

// ErrNoUsableKey is the error for a JWK Set that can be read and has no key that can be used.
var ErrNoUsableKey = errors.New("no usable key in the JWK Set")

// A Set holds the public keys of one issuer by their ID.
type Set map[string]Public

// Find returns the key named kid. An empty kid stands for the key of a set that has only one.
func (s Set) Find(kid string) (Public, bool) {
	if kid == "" && len(s) == 1 {
		for _, k := range s {
			return k, true
		}
	}
	k, ok := s[kid]
	return k, ok && kid != ""
}

// Add adds a key. A key with the same ID as another is an error.
func (s Set) Add(k Public) error {
	if _, ok := s[k.id]; ok {
		return fmt.Errorf("two keys with the kid %q", logsafe.Text(k.id))
	}
	s[k.id] = k
	return nil
}

// ParseSet reads public keys: PEM blocks or a JWK Set. A key that cannot be used is an error.
func ParseSet(data []byte) (Set, error) {
	if !strings.HasPrefix(strings.TrimSpace(string(data)), "{") {
		return parsePublicPEM(data)
	}
	keys, skipped, err := ParseJWKS(data)
	if len(skipped) > 0 {
		texts := make([]string, 0, len(skipped))
		for _, fault := range skipped {
			texts = append(texts, fault.Error())
		}
		err = errors.New(strings.Join(texts, "; "))
	}
	return keys, err
}

func parsePublicPEM(data []byte) (Set, error) {
	keys := Set{}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("a PEM block of type %q where \"PUBLIC KEY\" is wanted", block.Type)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing public key: %w", err)
		}
		key, err := newPublic(parsed)
		if err != nil {
			return nil, err
		}
		if err := keys.Add(key); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("neither PEM public keys nor a JWK Set")
	}
	if blocks := bytes.Count(data, []byte("-----BEGIN ")); blocks != len(keys) {
		return nil, fmt.Errorf("%d of %d PEM blocks can be read", len(keys), blocks)
	}
	return keys, nil
}

// ParseJWKS reads a JWK Set (RFC 7517 section 5). A key that cannot be used is skipped, and the
// reason returned in skipped. A set that cannot be read or has too many keys is an error. A set
// without a usable key is the error [ErrNoUsableKey].
func ParseJWKS(data []byte) (keys Set, skipped []error, err error) {
	list, err := splitJWKS(data)
	if err != nil {
		return nil, nil, fmt.Errorf("parsing JWK Set: %w", err)
	}
	if len(list) > maxJWKSKeys {
		return nil, nil, fmt.Errorf("a JWK Set of %d keys: at most %d are read", len(list), maxJWKSKeys)
	}
	keys = Set{}
	rsaKeys := 0
	for i, raw := range list {
		key, err := parseJWK(raw, &rsaKeys)
		if err == nil {
			err = keys.Add(key)
		}
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d of the JWK Set: %w", i, err))
		}
	}
	if len(keys) == 0 {
		return nil, skipped, ErrNoUsableKey
	}
	return keys, skipped, nil
}
