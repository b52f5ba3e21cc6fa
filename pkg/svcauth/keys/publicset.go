package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"example.com/micromachine/pkg/logsafe"
)

// publicMembers are the members of a JWK that hold no secret: all that are registered for public
// keys (RFC 7517 section 4, RFC 7518 section 6, RFC 8037).
var publicMembers = []string{
	"kty", "use", "key_ops", "alg", "kid", "x5u", "x5c", "x5t", "x5t#S256", "crv", "x", "y", "n", "e",
}

// CheckPublicJWKS returns an error unless data is a JWK Set (RFC 7517 section 5) that cannot hold a
// secret: its only member is "keys", and each key is an EC, OKP or RSA key with no other members
// than those of public keys. It does not say whether the keys can be used. A program that replaces
// a file by a key set checks the file first, so that it never overwrites a private key.
func CheckPublicJWKS(data []byte) error {
	if len(data) > MaxJWKSBytes {
		return fmt.Errorf("more than %d bytes", MaxJWKSBytes)
	}
	list, err := splitJWKS(data)
	if err != nil {
		return err
	}
	err = eachMember(data, func(name string, _ json.RawMessage) error {
		if name != "keys" {
			return fmt.Errorf("the set has the member %q", logsafe.Text(name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, raw := range list {
		if err := checkPublicJWK(raw); err != nil {
			return fmt.Errorf("key %d: %w", i, err)
		}
	}
	return nil
}

func checkPublicJWK(raw []byte) error {
	kind := ""
	err := eachMember(raw, func(name string, value json.RawMessage) error {
		if !slices.Contains(publicMembers, name) {
			return fmt.Errorf("it has the member %q, which is none of a public key", logsafe.Text(name))
		}
		if name == "kty" {
			return json.Unmarshal(value, &kind)
		}
		return nil
	})
	if err == nil && keyMembers[kind] == nil {
		err = errors.New("it is no public key")
	}
	return err
}
