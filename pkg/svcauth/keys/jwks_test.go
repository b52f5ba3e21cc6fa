package keys_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/keys"
)

// A receiver can parse the key set that a service publishes. It has public keys only, each with its
// ID and its algorithm.
func TestJWKSHandler(t *testing.T) {
	t.Parallel()
	want := map[string]keys.Algorithm{}
	var list []*keys.Private
	for _, alg := range algorithms {
		key := generateKey(t, alg)
		list, want[key.ID()] = append(list, key), alg
	}
	res := httptest.NewRecorder()
	keys.Handler(keySet(list)).ServeHTTP(res, httptest.NewRequest(http.MethodGet, "/"+keys.JWKSPath, nil))
	if kind := res.Header().Get("Content-Type"); kind != "application/jwk-set+json" {
		t.Errorf("Content-Type %q", kind)
	}
	if cache := res.Header().Get("Cache-Control"); cache != "public, max-age=300" {
		t.Errorf("Cache-Control %q", cache)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(res.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	public := []string{"alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"}
	for _, jwk := range set.Keys {
		for name := range maps.Keys(jwk) {
			if !slices.Contains(public, name) {
				t.Errorf("member %q is published", name)
			}
		}
	}
	got, skipped, err := keys.ParseJWKS(res.Body.Bytes())
	if err != nil || len(skipped) > 0 || !maps.Equal(algorithmsOf(got), want) {
		t.Errorf("read back %v, %v, %v; want %v", got, skipped, err, want)
	}
}

func TestMarshalNoKeys(t *testing.T) {
	t.Parallel()
	data, err := keys.MarshalJWKS()
	if err != nil || string(data) != `{"keys":[]}` {
		t.Errorf("%s, %v", data, err)
	}
}

// The members of the key in RFC 8037, appendix A: of the public Ed25519 key, and of its private
// half.
const (
	goodX = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	goodD = `"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"`
)

// A bad key is skipped, and an error names it. The good key before it is kept.
func TestBadJWK(t *testing.T) {
	t.Parallel()
	rsaKey := func(n int, e string) string {
		return fmt.Sprintf(`{"kty":"RSA","n":"%s","e":"%s"}`, base64URL(append([]byte{0x80}, bytes.Repeat([]byte{1}, n/8-1)...)), e)
	}
	ecKey := func(crv, y string) string {
		return `{"kty":"EC","crv":"` + crv + `","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"` + y + `"}`
	}
	const goodY = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" // RFC 7515, appendix A.3
	for _, tt := range []struct{ name, jwk, want string }{
		{"symmetric key", `{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0"}`, `private member "k"`},
		{"symmetric key in a public one", `{` + goodX + `,"k":"c2VjcmV0"}`, `private member "k"`},
		{"private Ed25519 key", `{` + goodX + `,` + goodD + `}`, `private member "d"`},
		{"private half with another name", `{` + goodX + `,"priv":"AAAA"}`, `private member "priv"`},
		{"private EC key", ecKey("P-256", goodY)[:len(ecKey("P-256", goodY))-1] + `,"d":"AAAA"}`, `private member "d"`},
		{"RSA key with its primes", rsaKey(2048, "AQAB")[:len(rsaKey(2048, "AQAB"))-1] + `,"p":"AAAA","q":"AAAA"}`, `private member "p"`},
		{"RSA of 1024 bits", rsaKey(1024, "AQAB"), "RSA key of 1024 bits"},
		{"RSA with exponent 3", rsaKey(2048, "Aw"), "RSA key with exponent 3"},
		{"RSA with exponent 1", rsaKey(2048, "AQ"), "invalid RSA key"},
		{"RSA of 8192 bits", rsaKey(8192, "AQAB"), "unsupported key type"},
		{"RSA without a modulus", `{"kty":"RSA","e":"AQAB"}`, "invalid RSA key"},
		{"EC point off its curve", ecKey("P-256", strings.Replace(goodY, "x", "y", 1)), "not on declared curve"},
		{"EC on P-384", ecKey("P-384", goodY), "wrong length"},
		{"EC on secp256k1", ecKey("secp256k1", goodY), "unsupported key type"},
		{"EC without y", `{"kty":"EC","crv":"P-256","x":"AAAA"}`, "missing x/y"},
		{"Ed25519 of 31 bytes", `{"kty":"OKP","crv":"Ed25519","x":"` + base64URL(make([]byte, 31)) + `"}`, "wrong length"},
		{"kid in two spellings", `{` + goodX + `,"kid":"a","KID":"b"}`, `"KID" is not spelled "kid"`},
		{"private member in another spelling", `{` + goodX + `,"D":"AA"}`, `"D" is not spelled "d"`},
		{"for another operation", `{` + goodX + `,"key_ops":["deriveKey"]}`, "not to verify"},
		{"key_ops is not a list", `{` + goodX + `,"key_ops":"verify"}`, "not to verify"},
		{"Ed25519 point of low order", `{"kty":"OKP","crv":"Ed25519","x":"` + base64URL(make([]byte, 32)) + `"}`, "low-order point"},
		{"X25519", `{"kty":"OKP","crv":"X25519","x":"` + base64URL(make([]byte, 32)) + `"}`, "unsupported key type"},
		{"unknown kty", `{"kty":"quantum"}`, "unsupported key type"},
		{"no kty", `{}`, "missing json web key type"},
		{"for encryption", `{` + goodX + `,"use":"enc"}`, `a key for use "enc"`},
		{"algorithm of another key", `{` + goodX + `,"alg":"ES256"}`, `unknown algorithm "ES256" for this key: it is for EdDSA`},
		{"algorithm none", `{` + goodX + `,"alg":"none"}`, `unknown algorithm "none"`},
		{"algorithm HS256", ecKey("P-256", goodY)[:len(ecKey("P-256", goodY))-1] + `,"alg":"HS256"}`, `unknown algorithm "HS256"`},
		{"kid twice", `{` + goodX + `,"kid":"good"}`, `two keys with the kid "good"`},
		{"name twice", `{` + goodX + `,"kid":"a","kid":"b"}`, `duplicate name "kid"`},
		{"kid is a number", `{` + goodX + `,"kid":1}`, "parsing JWK"},
		{"null", `null`, "not a JSON object"},
		{"text", `"key"`, "not a JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := `{"keys":[{` + goodX + `,"kid":"good"},` + tt.jwk + `]}`
			got, skipped, err := keys.ParseJWKS([]byte(set))
			if err != nil || len(got) != 1 || got["good"].Algorithm() != keys.EdDSA {
				t.Fatalf("keys %v, %v", got, err)
			}
			if len(skipped) != 1 || !strings.Contains(skipped[0].Error(), "key 1 of the JWK Set: ") || !strings.Contains(skipped[0].Error(), tt.want) {
				t.Errorf("skipped %v, want one that says %q", skipped, tt.want)
			}
		})
	}
}

// Members of a key that are not used are not checked, however malformed they are.
func TestUnusedMembers(t *testing.T) {
	t.Parallel()
	for _, unused := range []string{
		`"x5c":"not a list"`, `"x5c":["bm90IGEgY2VydGlmaWNhdGU="]`, `"x5c":[1]`, `"x5c":[]`, `"x5t":1`, `"x5t":"%"`, `"x5t":"AAAA"`,
		`"x5t#S256":null`, `"x5t#S256":"AAAA"`, `"x5u":"::"`, `"x5u":7`, `"x5u":["https://evil.service/"]`, `"n":1`, `"e":"%"`,
		`"y":{}`, `"iat":"soon"`, `"ext":"yes"`, `"x5c":1,"x5c":2`, `"note":{"a":1,"a":2}`, `"note":"\ud800"`, "\"note\":\"\xff\"",
		`"note":` + strings.Repeat("[", 50) + strings.Repeat("]", 50), `"X5C":1`,
		`"a":[` + strings.Repeat("0,", 1000) + `0]`,
	} {
		set := `{"note":{"a":1,"a":2},"keys":[{` + goodX + `,"kid":"good",` + unused + `}],"x5c":1}`
		got, skipped, err := keys.ParseJWKS([]byte(set))
		if err != nil || len(skipped) > 0 || got["good"].Algorithm() != keys.EdDSA {
			t.Errorf("%s: keys %v, skipped %v, %v", clipText(unused), got, skipped, err)
		}
	}
}

func clipText(s string) string { return s[:min(len(s), 60)] }

// A set without a usable key, or that cannot be parsed, is an error.
func TestBadJWKS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, set, want string }{
		{"empty", "", "parsing JWK Set"},
		{"HTML", "<html>", "parsing JWK Set"},
		{"cut short", `{"keys":[{` + goodX, "parsing JWK Set"},
		{"two sets", `{"keys":[]}{"keys":[]}`, "parsing JWK Set"},
		{"list", `[{` + goodX + `}]`, "parsing JWK Set"},
		{"keys is an object", `{"keys":{` + goodX + `}}`, "parsing JWK Set"},
		{"keys is null", `{"keys":null}`, "parsing JWK Set"},
		{"keys twice", `{"keys":[{` + goodX + `}],"keys":[]}`, `a second "keys"`},
		{"keys in two spellings", `{"keys":[{` + goodX + `}],"KEYS":[]}`, `a second "keys"`},
		{"no keys", `{"keys":[]}`, "no usable key"},
		{"single key", `{` + goodX + `}`, "no usable key"},
		{"bad keys alone", `{"keys":[{"kty":"oct","k":"AAAA"}]}`, "no usable key"},
		{"101 keys", `{"keys":[` + strings.Repeat(`{`+goodX+`},`, 100) + `{` + goodX + `}]}`, "a JWK Set of 101 keys: at most 100 are read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, _, err := keys.ParseJWKS([]byte(tt.set)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("keys %v, error %v; want %q", got, err, tt.want)
			}
		})
	}
}

// A key without a kid has its thumbprint as the kid (RFC 7638; RFC 8037, appendix A.3).
func TestKeyIDIsThumbprint(t *testing.T) {
	t.Parallel()
	got, _, err := keys.ParseJWKS([]byte(`{"keys":[{` + goodX + `}]}`))
	if _, ok := got["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]; err != nil || !ok {
		t.Errorf("keys %v, %v", got, err)
	}
}
