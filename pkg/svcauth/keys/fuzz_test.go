package keys_test

import (
	"encoding/json"
	"slices"
	"testing"

	"example.com/micromachine/pkg/svcauth/keys"
)

// No input makes the parser panic. Each key that it keeps has one of the three algorithms, and
// encoding/json reads a key with the same kid and kty, too.
func FuzzJWKS(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[{` + goodX + `}]}`, `{"keys":[{` + goodX + `,` + goodD + `}]}`, `{"keys":[null,1,"",[],{}]}`, `{"keys":{}}`, `{}`,
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"KEYS":[]}`,
		`{"keys":[{` + goodX + `,"kid":"a","KID":"b"}]}`, `{"keys":[{` + goodX + `}],"KEYS":[]}`, `{"keys":[{` + goodX + `}],"keys":[]}`,
		`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"},{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, _, err := keys.ParseJWKS(data)
		if err == nil && len(set) == 0 {
			t.Error("neither a key nor an error")
		}
		var loose struct {
			Keys []struct{ KID, Kty, Crv, Alg, Use string }
		}
		if err == nil && json.Unmarshal(data, &loose) != nil {
			return // a member of another type, in a key that was skipped
		}
		for id, alg := range algorithmsOf(set) {
			if id == "" || alg != keys.EdDSA && alg != keys.ES256 && alg != keys.RS256 {
				t.Errorf("key %q for %q", id, alg)
			}
			kty := map[keys.Algorithm]string{keys.EdDSA: "OKP", keys.ES256: "EC", keys.RS256: "RSA"}[alg]
			if !slices.ContainsFunc(loose.Keys, func(k struct{ KID, Kty, Crv, Alg, Use string }) bool {
				return k.Kty == kty && (k.KID == id || k.KID == "") && (k.Alg == "" || k.Alg == string(alg)) && (k.Use == "" || k.Use == "sig")
			}) {
				t.Errorf("key %q for %s is none that encoding/json reads: %q", id, alg, data)
			}
		}
	})
}
