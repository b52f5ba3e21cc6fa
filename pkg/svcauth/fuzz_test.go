package svcauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"example.com/micromachine/pkg/svcauth"
)

// What the strict reader takes from a token, golang-jwt takes from it too, and no reader that ignores the case of names
// takes anything else.
func FuzzToken(f *testing.F) {
	for _, seed := range []struct{ header, claims string }{
		{`{"alg":"EdDSA","kid":"k","typ":"svcauth+jwt"}`, `{"iss":"https://herald.service/","aud":"a","sub":"s","iat":1,"exp":2,"jti":"j"}`},
		{`{"alg":"none"}`, `{"ISS":"x"}`},
		{`{"alg":"ES256"}`, `{"\u017fub":"x","htm":"GET","htu":"u","bdy":"b","nbf":3}`},
		{` {"alg" : "RS256"} `, ` {"iss" : "\ud83d\ude00", "x":{"iss":1}} `},
	} {
		f.Add([]byte(seed.header), []byte(seed.claims))
	}
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		compact := base64URL(header) + "." + base64URL(claims) + ".AAAA"
		gotHeader, gotClaims, err := svcauth.ReadToken(compact)
		if err != nil {
			return
		}
		var loose jwt.MapClaims
		token, _, err := jwt.NewParser().ParseUnverified(compact, &loose)
		if token == nil || errors.Is(err, jwt.ErrTokenMalformed) {
			t.Fatalf("%q . %q is accepted: %v", header, claims, err)
		}
		for name, value := range token.Header {
			if value != "" && gotHeader[name] != value {
				t.Errorf("header %q is %v, golang-jwt reads %v", name, gotHeader[name], value)
			}
		}
		var folded struct {
			Iss, Aud, Sub, Jti, Htm, Htu, Bdy string
			Iat, Nbf, Exp                     int64
		}
		if err := json.Unmarshal(claims, &folded); err != nil {
			t.Fatalf("%q is accepted: %v", claims, err)
		}
		want := map[string]any{
			"iss": folded.Iss, "aud": folded.Aud, "sub": folded.Sub, "jti": folded.Jti, "htm": folded.Htm, "htu": folded.Htu,
			"bdy": folded.Bdy, "iat": folded.Iat, "nbf": folded.Nbf, "exp": folded.Exp,
		}
		maps.DeleteFunc(want, func(_ string, value any) bool { return value == "" || value == int64(0) })
		if !maps.Equal(gotClaims, want) {
			t.Errorf("%q reads %v, encoding/json %v", claims, gotClaims, want)
		}
	})
}

// No trust file makes the reader panic, and each fault names the file.
func FuzzTrustFile(f *testing.F) {
	f.Add([]byte(goodTrust))
	for _, seed := range []string{
		"", "---", "issuers:", "issuers: [{}]", "issuers: [&a {issuer: *a}]", "? [a]\n: b", "!!binary aXNzdWVycw==: x", "a: !!bool {}",
		"issuers: [{issuer: https://a/, allow: [GET /*], keys: discover}]", "%YAML 1.1\n---\n", "issuers:\n- *x", "\t", "\xff\xfe",
		"issuers: [{issuer: https://a/, act_for: ['https://[::1]/*'], keys: 'https://%zz/'}]",
	} {
		f.Add([]byte(seed))
	}
	file := filepath.Join(f.TempDir(), "trust.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte("/dev/")) || bytes.Contains(data, []byte("/proc/")) {
			return // a key file without an end is the operator's own doing
		}
		writeFile(t, file, data)
		err := svcauth.LoadTrust(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), file) {
			t.Errorf("error %q does not name the file", err)
		}
	})
}

// No key set makes the reader panic; of each key that it keeps, the algorithm is one of the three, and encoding/json reads
// a key of that name and kind, too.
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
		keys, _, err := svcauth.ParseJWKS(data)
		if err == nil && len(keys) == 0 {
			t.Error("neither a key nor an error")
		}
		var loose struct {
			Keys []struct{ KID, Kty, Crv, Alg, Use string }
		}
		if err == nil && json.Unmarshal(data, &loose) != nil {
			return // a member of another type, in a key that was skipped
		}
		for id, alg := range keys {
			if id == "" || alg != svcauth.EdDSA && alg != svcauth.ES256 && alg != svcauth.RS256 {
				t.Errorf("key %q for %q", id, alg)
			}
			kty := map[svcauth.Algorithm]string{svcauth.EdDSA: "OKP", svcauth.ES256: "EC", svcauth.RS256: "RSA"}[alg]
			if !slices.ContainsFunc(loose.Keys, func(k struct{ KID, Kty, Crv, Alg, Use string }) bool {
				return k.Kty == kty && (k.KID == id || k.KID == "") && (k.Alg == "" || k.Alg == string(alg)) && (k.Use == "" || k.Use == "sig")
			}) {
				t.Errorf("key %q for %s is none that encoding/json reads: %q", id, alg, data)
			}
		}
	})
}
