package svcauth

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/micromachine/pkg/svcauth/internal/strictjson"
)

// Where every service publishes its keys, relative to its base URL, and how long a receiver may keep them.
const (
	JWKSPath   = ".well-known/jwks.json"
	jwksMaxAge = 5 * time.Minute
)

// Bounds on a key set that is read or fetched.
const (
	maxJWKSBytes = 256 << 10
	maxJWKSKeys  = 100
)

// JWKSHandler serves the public halves of a service's keys as a JWK Set (RFC 7517 section 5), cacheable for five minutes. A
// service mounts it, without authentication, at its base URL plus [JWKSPath].
func JWKSHandler(keys SigningKeys) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, err := MarshalJWKS(keys.PublishedKeys()...)
		if err != nil {
			http.Error(w, "key set unavailable", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age="+strconv.Itoa(int(jwksMaxAge.Seconds())))
		_, _ = w.Write(body) // the client may be gone
	})
}

// MarshalJWKS returns the public halves of keys as the JSON of a JWK Set (RFC 7517 section 5).
func MarshalJWKS(keys ...*PrivateKey) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, 0, len(keys))}
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{
			Key: k.public.key, KeyID: k.public.id, Algorithm: string(k.public.alg), Use: "sig",
		})
	}
	data, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encoding key set: %w", err)
	}
	return data, nil
}

// A keyMap holds an issuer's public keys by their key ID.
type keyMap map[string]publicKey

func (m keyMap) add(k publicKey) error {
	if _, ok := m[k.id]; ok {
		return fmt.Errorf("two keys with the kid %q", k.id)
	}
	m[k.id] = k
	return nil
}

// parseKeyFile reads the keys of a trust file's key file: PEM blocks or a JWK Set. Here every key must be good.
func parseKeyFile(data []byte) (keyMap, error) {
	if strings.HasPrefix(strings.TrimSpace(string(data)), "{") {
		keys, skipped, err := parseJWKS(data)
		if len(skipped) > 0 {
			texts := make([]string, 0, len(skipped))
			for _, fault := range skipped {
				texts = append(texts, fault.Error())
			}
			err = errors.New(strings.Join(texts, "; "))
		}
		return keys, err
	}
	return parsePublicPEM(data)
}

func parsePublicPEM(data []byte) (keyMap, error) {
	keys := keyMap{}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("a PEM block of type %q where \"PUBLIC KEY\" is wanted", block.Type)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing public key: %w", err)
		}
		key, err := newPublicKey(parsed)
		if err != nil {
			return nil, err
		}
		if err := keys.add(key); err != nil {
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

// parseJWKS reads a JWK Set (RFC 7517 section 5). A bad key is skipped and its fault returned in skipped; a set that
// cannot be read, has too many keys or not one good key is an error.
func parseJWKS(data []byte) (keys keyMap, skipped []error, err error) {
	list, err := splitJWKS(data)
	if err != nil {
		return nil, nil, fmt.Errorf("parsing JWK Set: %w", err)
	}
	if len(list) > maxJWKSKeys {
		return nil, nil, fmt.Errorf("a JWK Set of %d keys: at most %d are read", len(list), maxJWKSKeys)
	}
	keys = keyMap{}
	for i, raw := range list {
		key, err := parseJWK(raw)
		if err == nil {
			err = keys.add(key)
		}
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d of the JWK Set: %w", i, err))
		}
	}
	if len(keys) == 0 {
		return nil, skipped, errors.New("no usable key in the JWK Set")
	}
	return keys, skipped, nil
}

// splitJWKS returns the keys of a JWK Set, unread. Of the set itself, which may hold a key that is no strict JSON, only the
// member "keys" counts: it is there once, and in no other case.
func splitJWKS(data []byte) (list []json.RawMessage, err error) {
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	seen := false
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, err
		}
		switch text, _ := name.(string); {
		case !strings.EqualFold(text, "keys"):
		case seen:
			return nil, errors.New(`a second "keys"`)
		case text != "keys":
			return nil, fmt.Errorf("%q is not spelled %q", text, "keys")
		default:
			seen = true
			if err := json.Unmarshal(raw, &list); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// jwkMembers are the members of a JWK that say something here (RFC 7517 section 4, RFC 7518 section 6, RFC 8037).
var jwkMembers = []string{"kid", "kty", "alg", "use", "key_ops", "crv", "x", "y", "n", "e"}

// privateMembers are the members of a JWK that a published one must not have (RFC 7518 section 6, RFC 9964).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// knownMembers are all of these; none may come in another case.
var knownMembers = slices.Concat(jwkMembers, privateMembers)

func parseJWK(raw []byte) (publicKey, error) {
	members, err := strictjson.Object(string(raw))
	if err != nil {
		return publicKey{}, err
	}
	for _, m := range members {
		if err := checkMember(m); err != nil {
			return publicKey{}, err
		}
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(raw, &jwk); err != nil {
		return publicKey{}, fmt.Errorf("parsing JWK: %w", err)
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return publicKey{}, fmt.Errorf("a key for use %q, not for signatures", jwk.Use)
	}
	key, err := newPublicKey(jwk.Key)
	if err != nil {
		return publicKey{}, err
	}
	if jwk.Algorithm != "" && jwk.Algorithm != string(key.alg) {
		return publicKey{}, fmt.Errorf("unknown algorithm %q for this key: it is for %s", jwk.Algorithm, key.alg)
	}
	if jwk.KeyID != "" {
		key.id = jwk.KeyID
	}
	return key, nil
}

// checkMember refuses what a key must not have, or another reader could take for something else.
func checkMember(m strictjson.Member) error {
	if slices.Contains(privateMembers, m.Name) {
		return fmt.Errorf("not a public key: it has the private member %q", m.Name)
	}
	for _, known := range knownMembers {
		if m.Name != known && strings.EqualFold(m.Name, known) {
			return fmt.Errorf("%q is not spelled %q", m.Name, known)
		}
	}
	if m.Name != "key_ops" {
		return nil
	}
	var operations []string
	if err := json.Unmarshal([]byte(m.Raw), &operations); err != nil || !slices.Contains(operations, "verify") {
		return fmt.Errorf("a key for the operations %s, not to verify", m.Raw)
	}
	return nil
}
