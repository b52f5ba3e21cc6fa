package svcauth_test

import (
	"encoding/json"
	"errors"
	"maps"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"example.com/micromachine/pkg/svcauth"
)

// From every token that the strict parser accepts, golang-jwt and encoding/json read the same
// values, although encoding/json ignores the case of names.
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
