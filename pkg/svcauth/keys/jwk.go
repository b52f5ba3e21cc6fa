package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"example.com/micromachine/pkg/logsafe"
	"example.com/micromachine/pkg/svcauth/internal/strictjson"
)

// maxJWKSRSA is the number of RSA keys of a set that are read: checkModulus takes up to 25 ms for
// one.
const maxJWKSRSA = 32

// splitJWKS returns the raw keys of a JWK Set. The set must have exactly one member "keys", in this
// spelling. Its other members are ignored. The set need not be strict JSON, so that one bad key
// does not make the others unusable.
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

// eachMember calls visit for each member of a JSON object, in their order, until visit returns an
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

// commonMembers are the members that are read of every JWK (RFC 7517 section 4).
var commonMembers = []string{"kty", "kid", "alg", "use", "key_ops"}

// keyMembers are the members that make up a public key, by its kty (RFC 7518 section 6, RFC 8037).
var keyMembers = map[string][]string{"EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}, "RSA": {"n", "e"}}

// privateMembers are the members that a published JWK must not have (RFC 7518 section 6, RFC 9964).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// knownMembers are all of these. None may be spelled in another case.
var knownMembers = slices.Concat(commonMembers, []string{"crv", "x", "y", "n", "e"}, privateMembers)

// parseJWK reads one key. It counts RSA keys in rsaKeys, and refuses one after the first
// maxJWKSRSA.
func parseJWK(raw []byte, rsaKeys *int) (Public, error) {
	used, kty, err := usedMembers(raw)
	if err != nil {
		return Public{}, err
	}
	if kty == "RSA" {
		*rsaKeys++
		if *rsaKeys > maxJWKSRSA {
			return Public{}, fmt.Errorf("more than %d RSA keys", maxJWKSRSA)
		}
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(used, &jwk); err != nil {
		return Public{}, fmt.Errorf("parsing JWK: %w", err)
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return Public{}, fmt.Errorf("a key for use %q, not for signatures", logsafe.Text(jwk.Use))
	}
	key, err := newPublic(jwk.Key)
	if err != nil {
		return Public{}, err
	}
	if jwk.Algorithm != "" && jwk.Algorithm != string(key.alg) {
		return Public{}, fmt.Errorf("unknown algorithm %q for this key: it is for %s", logsafe.Text(jwk.Algorithm), key.alg)
	}
	if jwk.KeyID != "" {
		key.id = jwk.KeyID
	}
	return key, nil
}

// usedMembers returns a JWK with only the members that its kty uses. They must be strict JSON. The
// other members, such as x5c, are ignored, unless they are private or spell a known name in another
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

// checkMember refuses a member that a public key must not have, and one that another reader could
// take for a different member.
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
