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

	"example.com/micromachine/pkg/logsafe"
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
	maxJWKSRSA   = 32 // checkModulus takes up to 25 ms for one
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
		return fmt.Errorf("two keys with the kid %q", logsafe.Text(k.id))
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

// errNoUsableKey is for a key set that was read and has no key that can be used.
var errNoUsableKey = errors.New("no usable key in the JWK Set")

// parseJWKS reads a JWK Set (RFC 7517 section 5). A bad key is skipped and its fault returned in
// skipped. A set that cannot be read or has too many keys is an error, and so is one without a good
// key: errNoUsableKey.
func parseJWKS(data []byte) (keys keyMap, skipped []error, err error) {
	list, err := splitJWKS(data)
	if err != nil {
		return nil, nil, fmt.Errorf("parsing JWK Set: %w", err)
	}
	if len(list) > maxJWKSKeys {
		return nil, nil, fmt.Errorf("a JWK Set of %d keys: at most %d are read", len(list), maxJWKSKeys)
	}
	keys = keyMap{}
	rsaKeys := 0
	for i, raw := range list {
		key, err := parseJWK(raw, &rsaKeys)
		if err == nil {
			err = keys.add(key)
		}
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d of the JWK Set: %w", i, err))
		}
	}
	if len(keys) == 0 {
		return nil, skipped, errNoUsableKey
	}
	return keys, skipped, nil
}

// splitJWKS returns the keys of a JWK Set, unread. Of the set itself, which may hold a key that is no strict JSON, only the
// member "keys" counts: it is there once, and in no other case.
func splitJWKS(data []byte) (list []json.RawMessage, err error) {
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	seen := false
	err = eachMember(data, func(name string, raw json.RawMessage) error {
		switch {
		case !strings.EqualFold(name, "keys"):
			return nil
		case seen:
			return errors.New(`a second "keys"`)
		case name != "keys":
			return fmt.Errorf("%q is not spelled %q", name, "keys")
		case raw[0] != '[':
			return errors.New(`"keys" is not an array`)
		}
		seen = true
		return json.Unmarshal(raw, &list)
	})
	if err == nil && !seen {
		err = errors.New(`no usable key in the JWK Set: it has no "keys"`)
	}
	return list, err
}

// eachMember calls visit for each member of a JSON object, in the order sent, until it returns an
// error.
func eachMember(data []byte, visit func(name string, raw json.RawMessage) error) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return err
		}
		name, _ := token.(string) // all names are strings
		if err := visit(name, raw); err != nil {
			return err
		}
	}
	return nil
}

// commonMembers are the members of every JWK that are read here (RFC 7517 section 4).
var commonMembers = []string{"kty", "kid", "alg", "use", "key_ops"}

// keyMembers are the members that make up a public key, by its kty (RFC 7518 section 6, RFC 8037).
var keyMembers = map[string][]string{"EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}, "RSA": {"n", "e"}}

// privateMembers are the members of a JWK that a published one must not have (RFC 7518 section 6, RFC 9964).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// knownMembers are all of these; none may come in another case.
var knownMembers = slices.Concat(commonMembers, []string{"crv", "x", "y", "n", "e"}, privateMembers)

// parseJWK reads one key. It counts the RSA keys, of which it reads no more than maxJWKSRSA.
func parseJWK(raw []byte, rsaKeys *int) (publicKey, error) {
	used, kty, err := usedMembers(raw)
	if err != nil {
		return publicKey{}, err
	}
	if kty == "RSA" {
		*rsaKeys++
		if *rsaKeys > maxJWKSRSA {
			return publicKey{}, fmt.Errorf("more than %d RSA keys", maxJWKSRSA)
		}
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(used, &jwk); err != nil {
		return publicKey{}, fmt.Errorf("parsing JWK: %w", err)
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return publicKey{}, fmt.Errorf("a key for use %q, not for signatures", logsafe.Text(jwk.Use))
	}
	key, err := newPublicKey(jwk.Key)
	if err != nil {
		return publicKey{}, err
	}
	if jwk.Algorithm != "" && jwk.Algorithm != string(key.alg) {
		return publicKey{}, fmt.Errorf("unknown algorithm %q for this key: it is for %s", logsafe.Text(jwk.Algorithm), key.alg)
	}
	if jwk.KeyID != "" {
		key.id = jwk.KeyID
	}
	return key, nil
}

// usedMembers returns a JWK with just those of its members that count for its kty. These are strict
// JSON; the others, such as x5c, are not judged, unless they are private or a known name in another
// case.
func usedMembers(raw []byte) (jwk []byte, kty string, err error) {
	var members []strictjson.Member
	err = eachMember(raw, func(name string, value json.RawMessage) error {
		members = append(members, strictjson.Member{Name: name, Raw: string(value)})
		if name == "kty" {
			_ = json.Unmarshal(value, &kty) // go-jose refuses what is not a string
		}
		return checkMember(name, value)
	})
	if err != nil {
		return nil, "", err
	}
	used := slices.Concat(commonMembers, keyMembers[kty])
	for _, m := range members {
		if slices.Contains(used, m.Name) {
			jwk = fmt.Appendf(jwk, ",%q:%s", m.Name, m.Raw)
		}
	}
	jwk = append(append([]byte{'{'}, bytes.TrimPrefix(jwk, []byte{','})...), '}')
	_, err = strictjson.Object(string(jwk))
	return jwk, kty, err
}

// checkMember refuses what a key must not have, or another reader could take for something else.
func checkMember(name string, value json.RawMessage) error {
	if slices.Contains(privateMembers, name) {
		return fmt.Errorf("not a public key: it has the private member %q", name)
	}
	for _, known := range knownMembers {
		if name != known && strings.EqualFold(name, known) {
			return fmt.Errorf("%q is not spelled %q", name, known)
		}
	}
	if name != "key_ops" {
		return nil
	}
	var operations []string
	if err := json.Unmarshal(value, &operations); err != nil || !slices.Contains(operations, "verify") {
		return fmt.Errorf("a key for the operations %s, not to verify", logsafe.Text(string(value)))
	}
	return nil
}
