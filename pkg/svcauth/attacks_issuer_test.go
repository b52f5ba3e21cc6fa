package svcauth_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/http"
	"slices"
	"strings"

	"example.com/micromachine/pkg/svcauth"
)

func heraldKey(w *world) *forger { return w.herald }
func shopRSA(w *world) *forger   { return w.shopRSA }
func shopEC(w *world) *forger    { return w.shopEC }
func shopEd(w *world) *forger    { return w.shopEd }
func loginKey(w *world) *forger  { return w.login }

// issuerAttacks are attacks on the token's issuer, type, key and signature.
func issuerAttacks() []group {
	return []group{
		{svcauth.CheckIssuer, http.StatusUnauthorized, []attack{
			{name: "unknown issuer", source: "RFC 8725 §3.8", valid: boundRead, change: stringClaim("iss", "https://evil.service/")},
			{name: "no iss", source: "RFC 8725 §3.8", valid: boundRead, change: noClaim("iss")},
			{name: "iss without its slash", source: "RFC 8725 §3.8", valid: boundRead, change: stringClaim("iss", "https://herald.service")},
			{name: "iss in other case", source: "RFC 8725 §3.8", valid: boundRead, change: stringClaim("iss", "https://HERALD.service/")},
			{name: "iss over http", source: "RFC 8725 §3.8", valid: boundRead, change: stringClaim("iss", "http://herald.service/")},
			{name: "iss with a port", source: "RFC 8725 §3.8", valid: boundRead, change: stringClaim("iss", "https://herald.service:443/")},
			{name: "iss with a path", source: "RFC 8725 §3.8", valid: boundRead, change: stringClaim("iss", herald+"user/")},
			{name: "iss with a space after it", source: "RFC 8725 §3.8", valid: boundRead, change: stringClaim("iss", herald+" ")},
			{name: "receiver as issuer", source: "RFC 8725 §3.8", valid: boundRead, change: stringClaim("iss", census)},
		}},
		{svcauth.CheckType, http.StatusUnauthorized, []attack{
			{name: "bound token without typ", source: "RFC 8725 §3.11", valid: boundRead, change: noHeader("typ")},
			{name: "bound token typed JWT", source: "RFC 8725 §3.11", valid: boundRead, change: header("typ", `"JWT"`)},
			{name: "bound token typed as session", source: "RFC 8725 §3.11, design §4", valid: boundRead, change: header("typ", `"session+jwt"`)},
			{name: "bound token typed as access token", source: "RFC 8725 §3.12, RFC 9068 §2.1", valid: boundRead, change: header("typ", `"at+jwt"`)},
			{name: "typ in other case", source: "RFC 8725 §3.11", valid: boundRead, change: header("typ", `"SVCAUTH+JWT"`)},
			{name: "typ with application/", source: "RFC 7515 §4.1.9", valid: boundRead, change: header("typ", `"application/svcauth+jwt"`)},
			{name: "typ is empty", source: "RFC 8725 §3.11", valid: articleRead, change: header("typ", `""`)},
			{name: "article token typed as bound", source: "RFC 8725 §3.11, design §4", valid: articleRead, change: header("typ", `"svcauth+jwt"`)},
			{name: "article token typed as session", source: "RFC 8725 §3.11, design §4", valid: articleRead, change: header("typ", `"session+jwt"`)},
			{name: "article token typed jwt", source: "RFC 7519 §5.1", valid: articleRead, change: header("typ", `"jwt"`)},
			{name: "session token typed as bound", source: "RFC 8725 §3.12, design §4", valid: session, change: header("typ", `"svcauth+jwt"`)},
			{name: "session token typed as article", source: "RFC 8725 §3.12, design §4", valid: session, change: header("typ", `"JWT"`)},
			{name: "session token without typ", source: "RFC 8725 §3.12, design §4", valid: session, change: noHeader("typ")},
			{name: "bound token from an issuer of sessions", source: "RFC 8725 §3.12, design §4", valid: boundRead, change: all(stringClaim("iss", login), withKey(loginKey))},
			{name: "session token from an issuer of calls", source: "RFC 8725 §3.12, design §4", valid: session, change: all(stringClaim("iss", herald), stringClaim("sub", herald+"user/21/"), withKey(heraldKey))},
		}},
		{svcauth.CheckKey, http.StatusUnauthorized, algorithmAttacks()},
		{svcauth.CheckKey, http.StatusUnauthorized, keyAttacks()},
		{svcauth.CheckKey, http.StatusUnauthorized, publishedKeyAttacks()},
		{svcauth.CheckSignature, http.StatusUnauthorized, signatureAttacks()},
	}
}

func algorithmAttacks() []attack {
	return []attack{
		{name: "alg none", source: "RFC 8725 §3.1, CVE-2022-23540", valid: boundRead, change: signedWith("none", sameKey)},
		{name: "alg none on an article token", source: "RFC 8725 §3.1", valid: articleWrite, change: signedWith("none", sameKey)},
		{name: "alg none on a session token", source: "RFC 8725 §3.1", valid: session, change: signedWith("none", sameKey)},
		{name: "alg nOnE", source: "RFC 8725 §2.1", valid: boundRead, change: all(signedWith("none", sameKey), header("alg", `"nOnE"`))},
		{name: "alg none with the signature kept", source: "RFC 8725 §2.1", valid: boundRead, change: header("alg", `"none"`)},
		{name: "alg is empty", source: "RFC 7515 §4.1.1", valid: boundRead, change: header("alg", `""`)},
		{name: "no alg", source: "RFC 7515 §4.1.1", valid: boundRead, change: noHeader("alg")},
		{name: "alg in other case", source: "RFC 7515 §4.1.1", valid: boundRead, change: header("alg", `"eddsa"`)},
		{name: "HS256 with the RSA key's PEM", source: "RFC 8725 §2.1, CVE-2015-9235, CVE-2016-10555", valid: boundBy(shopRSA), change: signedWith("HS256", publicPEM)},
		{name: "HS256 with the EC key's DER", source: "RFC 8725 §2.1, CVE-2022-29217", valid: boundBy(shopEC), change: signedWith("HS256", publicDER)},
		{name: "HS256 with the Ed25519 key's bytes", source: "RFC 8725 §2.1, CVE-2022-29217", valid: boundRead, change: signedWith("HS256", publicBytes)},
		{name: "HS256 with an empty key", source: "RFC 8725 §3.5", valid: boundRead, change: signedWith("HS256", emptyKey)},
		{name: "HS512 on an article token", source: "RFC 8725 §2.1", valid: articleWrite, change: signedWith("HS512", publicPEM)},
		{name: "HS256 on a session token", source: "RFC 8725 §2.1", valid: session, change: signedWith("HS256", publicPEM)},
		{name: "PS256 with the RS256 key", source: "RFC 8725 §3.1", valid: boundBy(shopRSA), change: signedWith("PS256", sameKey)},
		{name: "RS512 with the RS256 key", source: "RFC 8725 §3.1", valid: boundBy(shopRSA), change: signedWith("RS512", sameKey)},
		{name: "ES256 on the RS256 key's kid", source: "RFC 8725 §3.1", valid: boundBy(shopRSA), change: all(signedBy(shopEC), header("alg", `"ES256"`))},
		{name: "RS256 on the ES256 key's kid", source: "RFC 8725 §3.1", valid: boundBy(shopEC), change: all(signedBy(shopRSA), header("alg", `"RS256"`))},
		{name: "EdDSA on the ES256 key's kid", source: "RFC 8725 §3.1", valid: boundBy(shopEC), change: all(signedBy(shopEd), header("alg", `"EdDSA"`))},
		{name: "alg Ed25519", source: "RFC 9864 §2.2, design §4", valid: boundRead, change: header("alg", `"Ed25519"`)},
	}
}

func keyAttacks() []attack {
	return []attack{
		{name: "bound token without kid", source: "design §4", valid: boundRead, change: noHeader("kid")},
		{name: "bound token with an empty kid", source: "design §4", valid: boundRead, change: header("kid", `""`)},
		{name: "session token without kid", source: "design §4", valid: session, change: noHeader("kid")},
		{name: "article token without kid where there are two keys", source: "design §4", valid: pairRead, change: noHeader("kid")},
		{name: "made-up kid", source: "RFC 8725 §3.10", valid: boundRead, change: header("kid", `"2026-11"`)},
		{name: "kid is a path", source: "RFC 8725 §3.10", valid: boundRead, change: all(signedWith("HS256", emptyKey), header("kid", `"../../../../dev/null"`))},
		{name: "kid is SQL", source: "RFC 8725 §3.10", valid: boundRead, change: header("kid", `"x' union select 'key' --"`)},
		{name: "kid is a URL", source: "RFC 8725 §3.10", valid: boundRead, change: header("kid", `"https://evil.service/key.pem"`)},
		{name: "kid with a NUL after it", source: "RFC 8725 §3.10", valid: boundRead, change: func(c *call) { c.header.set("kid", `"`+c.signer.kid+`\u0000"`) }},
		{name: "kid in other case", source: "RFC 7515 §4.1.4", valid: boundRead, change: func(c *call) { c.header.set("kid", quote(strings.ToUpper(c.signer.kid))) }},
		{name: "article kid that is made up", source: "design §4", valid: articleRead, change: header("kid", `"x"`)},
		{name: "key of another issuer", source: "RFC 8725 §3.8, design §5.3", valid: boundRead, change: withKey(shopEd)},
		{name: "another issuer's name with the own key", source: "RFC 8725 §3.8, design §5.3", valid: boundRead, change: stringClaim("iss", shop)},
		{name: "key of an issuer of sessions", source: "design §5.3", valid: boundRead, change: withKey(loginKey)},
		{name: "service's key on a session token", source: "design §5.3", valid: session, change: withKey(heraldKey)},
	}
}

func publishedKeyAttacks() []attack {
	return []attack{
		{name: "key of another issuer, published as its own", source: "RFC 8725 §3.8, design §4", valid: vaultRead, change: withKey(heraldKey)},
		{name: "key that was removed from the published set, which is now empty", source: "design §5", valid: boundRead, change: removedKey},
		{name: "RSA key whose modulus is even", source: "SP 800-89 §5.3.3", valid: vaultRead, change: withKey(func(w *world) *forger { return w.vaultEven })},
		{name: "RSA key whose modulus is a prime", source: "SP 800-89 §5.3.3", valid: vaultRead, change: withKey(func(w *world) *forger { return w.vaultPrime })},
		{name: "RSA key whose modulus has a small factor", source: "SP 800-89 §5.3.3", valid: vaultRead, change: withKey(func(w *world) *forger { return w.vault11 })},
	}
}

func signatureAttacks() []attack {
	return []attack{
		{name: "no signature", source: "RFC 8725 §2.1, CVE-2020-28042", valid: boundRead, change: part(2, func([]byte) []byte { return nil })},
		{name: "signature cut short", source: "CVE-2020-28042", valid: boundRead, change: part(2, func(b []byte) []byte { return b[:32] })},
		{name: "byte after the signature", source: "RFC 8032 §5.1.7", valid: boundRead, change: part(2, func(b []byte) []byte { return append(b, 0) })},
		{name: "signature of zeros", source: "RFC 8032 §5.1.7", valid: boundRead, change: part(2, func(b []byte) []byte { return make([]byte, len(b)) })},
		{name: "bit of R", source: "RFC 7515 §5.2", valid: boundRead, change: part(2, func(b []byte) []byte { b[0] ^= 1; return b })},
		{name: "bit of S", source: "RFC 7515 §5.2", valid: boundRead, change: part(2, func(b []byte) []byte { b[40] ^= 1; return b })},
		{name: "Ed25519 signature plus the group's order", source: "RFC 8032 §8.4", valid: boundRead, change: part(2, plusOrder)},
		{name: "signature of another token", source: "RFC 7515 §5.2", valid: boundRead, change: ofAnotherToken},
		{name: "subject changed", source: "RFC 7515 §5.2", valid: boundRead, change: part(1, bytesOf(swap("user/21", "user/42")))},
		{name: "session's subject changed", source: "RFC 7515 §5.2", valid: session, change: part(1, bytesOf(swap("user/21", "user/42")))},
		{name: "article's body hash changed", source: "RFC 7515 §5.2", valid: articleWrite, change: part(1, bytesOf(swap(md5Body(newUser), md5Body("x"))))},
		{name: "space in the claims", source: "RFC 7515 §5.2", valid: boundRead, change: part(1, bytesOf(swap(`,"sub"`, `, "sub"`)))},
		{name: "space in the header", source: "RFC 7515 §5.2", valid: boundRead, change: part(0, bytesOf(swap(`,"kid"`, `, "kid"`)))},
		{name: "kid changed to the issuer's other key", source: "RFC 7515 §4.1.4", valid: pairRead, change: func(c *call) { c.header.set("kid", quote(c.w.pairB.kid)) }},
		{name: "article token without kid, signed by another issuer", source: "design §4", valid: articleRead, change: all(noHeader("kid"), signedBy(heraldKey))},
		{name: "another issuer's kid, signed with the own key", source: "RFC 8725 §3.8", valid: boundRead, change: signedBy(shopEd)},
		{name: "session signed by a service", source: "design §5.3", valid: session, change: signedBy(heraldKey)},
		{name: "service token signed by the issuer of sessions", source: "design §5.3", valid: boundRead, change: signedBy(loginKey)},
		{name: "article token signed by a bound issuer", source: "design §5.3", valid: articleWrite, change: signedBy(shopEd)},
		{name: "JSON signed in place of its base64url", source: "RFC 7797 §3", valid: boundRead, change: signsJSON},
		{name: "ECDSA signature of zeros", source: "CVE-2022-21449", valid: boundBy(shopEC), change: part(2, func([]byte) []byte { return make([]byte, 64) })},
		{name: "ECDSA signature of the group's order", source: "CVE-2022-21449", valid: boundBy(shopEC), change: part(2, groupOrder)},
		{name: "ECDSA signature in ASN.1", source: "RFC 7518 §3.4", valid: boundBy(shopEC), change: part(2, inASN1)},
		{name: "ECDSA signature with zeros before its halves", source: "RFC 7518 §3.4, CVE-2020-13822", valid: boundBy(shopEC), change: part(2, widened)},
		{name: "RSA signature of 1", source: "RFC 8017 §8.2.2", valid: boundBy(shopRSA), change: part(2, func(b []byte) []byte { one := make([]byte, len(b)); one[len(b)-1] = 1; return one })},
		{name: "RSA signature with a zero before it", source: "RFC 8017 §8.2.2", valid: boundBy(shopRSA), change: part(2, func(b []byte) []byte { return append([]byte{0}, b...) })},
	}
}

func sameKey(f *forger) any   { return f.key }
func publicPEM(f *forger) any { return f.public }
func emptyKey(*forger) any    { return []byte{} }

func publicDER(f *forger) any {
	block, _ := pem.Decode(f.public)
	return block.Bytes
}

func publicBytes(f *forger) any {
	return []byte(f.key.(ed25519.PrivateKey).Public().(ed25519.PublicKey))
}

// plusOrder adds the group's order to S. A verifier without the check of RFC 8032 section 5.1.7
// accepts the result.
func plusOrder(signature []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := new(big.Int).SetBytes(reversed(signature[32:]))
	return append(signature[:32:32], reversed(s.Add(s, order).FillBytes(make([]byte, 32)))...)
}

func reversed(b []byte) []byte {
	r := bytes.Clone(b)
	slices.Reverse(r)
	return r
}

func ofAnotherToken(c *call) {
	other := boundRead(c.tb, c.w)
	other.sign()
	signature := other.token[strings.LastIndex(other.token, "."):]
	token(func(s string) string { return s[:strings.LastIndex(s, ".")] + signature })(c)
}

func signsJSON(c *call) {
	token(func(s string) string {
		p := strings.Split(s, ".")
		signature, err := c.signer.sign(string(decode64(p[0])) + "." + string(decode64(p[1])))
		if err != nil {
			c.tb.Fatal(err)
		}
		return p[0] + "." + p[1] + "." + base64URL(signature)
	})(c)
}

func groupOrder([]byte) []byte {
	n := elliptic.P256().Params().N.Bytes()
	return append(n, n...)
}

// inASN1 encodes an ECDSA signature in ASN.1, as X.509 does.
func inASN1(signature []byte) []byte {
	der, err := asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]),
	})
	if err != nil {
		panic(err) // two numbers
	}
	return der
}

// otherECDSA returns the signature (r, n-s) for (r, s). It is valid too, and makes another token.
func otherECDSA(signature []byte) []byte {
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s)
	return append(signature[:32:32], s.FillBytes(make([]byte, 32))...)
}

func widened(signature []byte) []byte {
	wide := append([]byte{0}, signature[:32]...)
	return append(append(wide, 0), signature[32:]...)
}
