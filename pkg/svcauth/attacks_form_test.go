package svcauth_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf16"

	"example.com/micromachine/pkg/svcauth"
)

// formAttacks are attacks on the form of the token. They are refused before the issuer is checked.
func formAttacks() []group {
	return []group{
		{svcauth.CheckHeader, http.StatusUnauthorized, []attack{
			{name: "no token", source: "design §5.1", valid: boundRead, change: token(always(""))},
			{name: "token in Authorization", source: "design §4", valid: boundRead, change: moved("Authorization: Bearer ")},
			{name: "token in a cookie", source: "design §4", valid: boundRead, change: moved("Cookie: JWT=")},
			{name: "token in the trailer", source: "design §5.1, RFC 9110 §6.5.1", valid: boundWrite, change: inTrailer},
			{name: "two JWT headers", source: "design §5.1", valid: boundRead, change: repeated("JWT: ")},
			{name: "two JWT headers in different case", source: "design §5.1", valid: boundRead, change: repeated("jwt: ")},
			{name: "second JWT header is empty", source: "design §5.1", valid: boundRead, change: line("JWT:")},
			{name: "token over 8 KiB", source: "design §5.1", valid: boundRead, change: padded8K(1)},
		}},
		{svcauth.CheckEncoding, http.StatusUnauthorized, []attack{
			{name: "empty token", source: "RFC 7515 §7.1", valid: boundRead, change: all(token(always("")), line("JWT:"))},
			{name: "Bearer before the token", source: "design §5.1", valid: boundRead, change: token(prefixed("Bearer "))},
			{name: "token in quotes", source: "design §5.1", valid: boundRead, change: token(func(s string) string { return `"` + s + `"` })},
			{name: "two tokens in one line", source: "design §5.1", valid: boundRead, change: token(func(s string) string { return s + ", " + s })},
			{name: "two parts", source: "RFC 7515 §7.1", valid: boundRead, change: token(func(s string) string { return s[:strings.LastIndex(s, ".")] })},
			{name: "four parts", source: "RFC 7515 §7.1", valid: boundRead, change: token(suffixed("."))},
			{name: "five parts, as a JWE", source: "RFC 8725 §2.3, RFC 7516 §7.1", valid: boundRead, change: token(suffixed(".AAAA.AAAA"))},
			{name: "ten thousand dots", source: "CVE-2025-30204", valid: boundRead, change: token(always(strings.Repeat(".", 8<<10)))},
			{name: "JSON serialisation", source: "RFC 7515 §7.2.2", valid: boundRead, change: token(flattened)},
			{name: "padded header", source: "RFC 7515 §2", valid: boundRead, change: token(padded(0))},
			{name: "padded claims", source: "RFC 7515 §2", valid: boundRead, change: token(padded(1))},
			{name: "padded signature", source: "RFC 7515 §2", valid: boundRead, change: token(padded(2))},
			{name: "spare bits in the signature", source: "RFC 4648 §3.5", valid: boundRead, change: token(spareBits)},
			{name: "standard base64 alphabet", source: "RFC 4648 §5", valid: boundRead, change: all(stringClaim("jti", strings.Repeat("?~", 20)), token(standardAlphabet))},
			{name: "space in the token", source: "RFC 7515 §2", valid: boundRead, change: token(swap(".", ". "))},
			{name: "tab in the token", source: "RFC 7515 §2", valid: boundRead, change: token(swap(".", ".\t"))},
			{name: "folded header line", source: "RFC 9112 §5.2", valid: boundRead, change: token(swap(".", ".\r\n "))},
			{name: "invisible character after the token", source: "design §5.1", valid: boundRead, change: token(suffixed("\u200b"))},
			{name: "percent-encoded dots", source: "design §5.1", valid: boundRead, change: token(swap(".", "%2E"))},
		}},
		{svcauth.CheckJSON, http.StatusUnauthorized, headerJSONAttacks()},
		{svcauth.CheckJSON, http.StatusUnauthorized, claimsJSONAttacks()},
		{svcauth.CheckJSON, http.StatusUnauthorized, claimTypeAttacks()},
	}
}

func headerJSONAttacks() []attack {
	const jwk = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	return []attack{
		{name: "header crit", source: "RFC 7515 §4.1.11, CVE-2025-59420", valid: boundRead, change: addHeader("crit", `["exp"]`)},
		{name: "header jwk with the attacker's key", source: "CVE-2018-0114", valid: boundRead, change: addHeader("jwk", jwk)},
		{name: "header jku", source: "RFC 8725 §3.10", valid: boundRead, change: addHeader("jku", `"https://herald.service/.well-known/jwks.json"`)},
		{name: "header x5u", source: "RFC 8725 §3.10", valid: boundRead, change: addHeader("x5u", `"https://evil.service/cert.pem"`)},
		{name: "header x5c", source: "design §5.2", valid: boundRead, change: addHeader("x5c", `["AAAA"]`)},
		{name: "header x5t#S256", source: "design §5.2", valid: boundRead, change: addHeader("x5t#S256", `"AAAA"`)},
		{name: "header b64", source: "RFC 7797 §3", valid: boundRead, change: addHeader("b64", `false`)},
		{name: "header zip", source: "RFC 8725 §3.6", valid: boundRead, change: addHeader("zip", `"DEF"`)},
		{name: "header enc", source: "RFC 7516 §4.1.2", valid: boundRead, change: addHeader("enc", `"A256GCM"`)},
		{name: "header cty", source: "RFC 7519 §5.2", valid: boundRead, change: addHeader("cty", `"JWT"`)},
		{name: "unknown header member", source: "design §5.2", valid: boundRead, change: addHeader("note", `"hello"`)},
		{name: "claims repeated in the header", source: "RFC 7519 §5.3", valid: boundRead, change: addHeader("iss", quote(shop))},
		{name: "header alg twice", source: "RFC 7515 §4", valid: boundRead, change: addHeader("alg", `"none"`)},
		{name: "header kid twice, once escaped", source: "RFC 7515 §4", valid: boundRead, change: addHeader(`k\u0069d`, `"other"`)},
		{name: "header alg, and again in other case", source: "RFC 7515 §5.3", valid: boundRead, change: addHeader("Alg", `"none"`)},
		{name: "header kid, and again with the Kelvin sign", source: "design §5.2", valid: boundRead, change: addHeader("\u212aid", `"other"`)},
		{name: "header alg is a list", source: "RFC 7515 §4.1.1", valid: boundRead, change: header("alg", `["EdDSA"]`)},
		{name: "header alg is null", source: "RFC 7515 §4.1.1", valid: boundRead, change: header("alg", `null`)},
		{name: "header kid is a number", source: "RFC 7515 §4.1.4", valid: boundRead, change: header("kid", `0`)},
		{name: "header kid is null", source: "RFC 7515 §4.1.4", valid: articleRead, change: header("kid", `null`)},
		{name: "header kid is an object", source: "RFC 7515 §4.1.4", valid: boundRead, change: header("kid", `{"$ne":""}`)},
		{name: "header typ is null", source: "RFC 8725 §3.11", valid: articleRead, change: header("typ", `null`)},
		{name: "header is a list", source: "RFC 7515 §4", valid: boundRead, change: headerText(func(s string) string { return "[" + s + "]" })},
		{name: "header is empty", source: "RFC 7515 §4", valid: boundRead, change: headerText(always(""))},
		{name: "data after the header", source: "design §5.2", valid: boundRead, change: headerText(suffixed("{}"))},
		{name: "byte order mark before the header", source: "RFC 8259 §8.1", valid: boundRead, change: headerText(prefixed("\ufeff"))},
	}
}

func claimsJSONAttacks() []attack {
	return []attack{
		{name: "sub twice", source: "RFC 7519 §4, RFC 8725 §2.4", valid: boundRead, change: addClaim("sub", quote(census+"user/1/"))},
		{name: "sub twice, once escaped", source: "RFC 7519 §4", valid: boundRead, change: addClaim(`s\u0075b`, quote(census+"user/1/"))},
		{name: "duplicate name inside a further claim", source: "RFC 8725 §2.4", valid: boundRead, change: addClaim("x", `[{"a":1,"a":2}]`)},
		{name: "sub, and again in other case", source: "RFC 7519 §7.3, design §5.2", valid: boundRead, change: addClaim("Sub", quote(census+"user/1/"))},
		{name: "exp, and again as EXP", source: "RFC 7519 §7.3", valid: boundRead, change: addClaim("EXP", "9999999999")},
		{name: "sub, and again with a long s", source: "design §5.2", valid: boundRead, change: addClaim("ſub", quote(census+"user/1/"))},
		{name: "iss, and again with an escaped long s", source: "design §5.2", valid: boundRead, change: addClaim(`is\u017f`, quote(shop))},
		{name: "session's sub, and again in other case", source: "RFC 7519 §7.3", valid: session, change: addClaim("SUB", quote(login+"user/1/"))},
		{name: "invalid UTF-8", source: "RFC 8725 §3.7", valid: boundRead, change: followedBy("sub", ",\"x\":\"\xff\"")},
		{name: "overlong UTF-8", source: "RFC 8725 §3.7, RFC 3629 §3", valid: boundRead, change: addClaim("x", "\"\xc0\xaf\"")},
		{name: "surrogates as UTF-8", source: "RFC 8725 §3.7, RFC 3629 §3", valid: boundRead, change: addClaim("x", "\"\xed\xa0\x80\"")},
		{name: "lone high surrogate", source: "RFC 8259 §8.2", valid: boundRead, change: addClaim("x", `"\ud800"`)},
		{name: "lone low surrogate in a name", source: "RFC 8259 §8.2", valid: boundRead, change: addClaim(`x\udc00`, `1`)},
		{name: "high surrogate before a letter", source: "RFC 8259 §8.2", valid: boundRead, change: addClaim("x", `"\ud800\u0041"`)},
		{name: "UTF-16", source: "RFC 8725 §3.7", valid: boundRead, change: claimsText(asUTF16)},
		{name: "byte order mark before the claims", source: "RFC 8259 §8.1", valid: boundRead, change: claimsText(prefixed("\ufeff"))},
		{name: "depth of 9", source: "design §5.2", valid: boundRead, change: addClaim("x", strings.Repeat("[", 8)+strings.Repeat("]", 8))},
		{name: "depth of 2,000", source: "design §5.2", valid: boundRead, change: addClaim("x", strings.Repeat("[", 2000)+strings.Repeat("]", 2000))},
		{name: "hundreds of objects", source: "design §5.2", valid: boundRead, change: addClaim("x", "["+strings.Repeat(`{"":0},`, 300)+"0]")},
		{name: "hundreds of objects in objects", source: "design §5.2", valid: boundRead, change: addClaim("x", "["+strings.Repeat(`{"a":{"b":{"c":0}}},`, 100)+"0]")},
		{name: "hundreds of numbers", source: "design §5.2", valid: boundRead, change: addClaim("x", "["+strings.Repeat("0,", 300)+"0]")},
		{name: "hundreds of lists in the header", source: "design §5.2", valid: boundRead, change: addHeader("x", "["+strings.Repeat("[],", 300)+"0]")},
		{name: "65 names inside a further claim", source: "design §5.2", valid: boundRead, change: addClaim("x", manyNames())},
		{name: "65 claims", source: "design §5.2", valid: boundRead, change: manyClaims},
		{name: "second object after the claims", source: "design §5.2", valid: boundRead, change: claimsText(suffixed(`{"sub":"x"}`))},
		{name: "NUL after the claims", source: "design §5.2", valid: boundRead, change: claimsText(suffixed("\x00"))},
		{name: "no-break space after the claims", source: "RFC 8259 §2", valid: boundRead, change: claimsText(suffixed("\u00a0"))},
		{name: "comma after the last claim", source: "RFC 8259 §4", valid: boundRead, change: claimsText(func(s string) string { return s[:len(s)-1] + ",}" })},
		{name: "comment in the claims", source: "RFC 8259 §2", valid: boundRead, change: claimsText(prefixed("/**/"))},
		{name: "claims cut short", source: "RFC 8259 §4", valid: boundRead, change: claimsText(func(s string) string { return s[:len(s)-1] })},
		{name: "claims are a list", source: "RFC 7519 §7.2", valid: boundRead, change: claimsText(func(s string) string { return "[" + s + "]" })},
		{name: "claims are null", source: "RFC 7519 §7.2", valid: boundRead, change: claimsText(always("null"))},
		{name: "claims are a token", source: "RFC 7519 §5.2", valid: boundRead, change: nested},
		{name: "bare line break in a string", source: "RFC 8259 §7", valid: boundRead, change: addClaim("x", "\"a\nb\"")},
		{name: "NaN", source: "RFC 8259 §6", valid: boundRead, change: addClaim("x", "NaN")},
	}
}

func claimTypeAttacks() []attack {
	return []attack{
		{name: "exp with an exponent", source: "RFC 7519 §2, design §4", valid: boundRead, change: followedBy("exp", "e0")},
		{name: "exp is 1e9", source: "design §4", valid: boundRead, change: claim("exp", "1e9")},
		{name: "exp is 1e400", source: "RFC 8259 §6", valid: boundRead, change: claim("exp", "1e400")},
		{name: "iat with a fraction of zero", source: "design §4", valid: boundRead, change: followedBy("iat", ".0")},
		{name: "nbf is -0", source: "design §4", valid: boundRead, change: claim("nbf", "-0")},
		{name: "nbf is 0", source: "design §4", valid: boundRead, change: claim("nbf", "0")},
		{name: "nbf is negative", source: "design §4", valid: boundRead, change: claim("nbf", "-1")},
		{name: "exp is 2^53", source: "RFC 8259 §6", valid: boundRead, change: claim("exp", "9007199254740992")},
		{name: "exp overflows 64 bits", source: "RFC 8259 §6", valid: boundRead, change: claim("exp", "18446744073709551617")},
		{name: "exp with a leading zero", source: "RFC 8259 §6", valid: boundRead, change: rewrittenClaim("exp", prefixed("0"))},
		{name: "exp with a plus sign", source: "RFC 8259 §6", valid: boundRead, change: rewrittenClaim("exp", prefixed("+"))},
		{name: "exp is a string", source: "RFC 7519 §4.1.4", valid: boundRead, change: rewrittenClaim("exp", quote)},
		{name: "exp is null", source: "RFC 7519 §4.1.4", valid: noExpiryWrite, change: claim("exp", "null")},
		{name: "exp is a list", source: "RFC 7519 §4.1.4", valid: boundRead, change: claim("exp", "[9999999999]")},
		{name: "iat is true", source: "RFC 7519 §4.1.6", valid: boundRead, change: claim("iat", "true")},
		{name: "aud is a list of one", source: "design §4", valid: boundRead, change: claim("aud", `["`+census+`"]`)},
		{name: "aud is a list of two", source: "RFC 8725 §3.9, design §4", valid: boundRead, change: claim("aud", `["`+shop+`","`+census+`"]`)},
		{name: "aud is an empty list", source: "CVE-2020-26160", valid: boundRead, change: claim("aud", "[]")},
		{name: "aud is an object", source: "RFC 7519 §4.1.3", valid: boundRead, change: claim("aud", `{"`+census+`":true}`)},
		{name: "aud is null", source: "RFC 7519 §4.1.3", valid: boundRead, change: claim("aud", "null")},
		{name: "aud is empty", source: "RFC 7519 §4.1.3", valid: boundRead, change: claim("aud", `""`)},
		{name: "iss is a list", source: "RFC 7519 §4.1.1", valid: boundRead, change: claim("iss", `["`+herald+`"]`)},
		{name: "sub is a number", source: "RFC 7519 §4.1.2", valid: boundRead, change: claim("sub", "21")},
		{name: "jti is a number", source: "RFC 7519 §4.1.7", valid: boundRead, change: claim("jti", "1234567890123456789012")},
		{name: "jti is null", source: "RFC 7519 §4.1.7", valid: articleWrite, change: claim("jti", "null")},
		{name: "htm is a list", source: "design §4", valid: boundRead, change: claim("htm", `["GET","POST"]`)},
		{name: "bdy is null", source: "design §4", valid: boundRead, change: claim("bdy", "null")},
		{name: "bdy is empty", source: "design §4", valid: boundRead, change: claim("bdy", `""`)},
	}
}

func always(text string) func(string) string { return func(string) string { return text } }
func prefixed(p string) func(string) string  { return func(s string) string { return p + s } }
func suffixed(p string) func(string) string  { return func(s string) string { return s + p } }

// moved sends the token in another header line, which begins with to.
func moved(to string) mutation {
	return wire(func(c *call) { c.lines, c.token = append(c.lines, to+c.token), "" })
}

// repeated sends the token in a second header line, which begins with name.
func repeated(name string) mutation {
	return wire(func(c *call) { c.lines = append(c.lines, name+c.token) })
}

func inTrailer(c *call) {
	wire(func(c *call) {
		c.lines = append(c.lines, "Trailer: JWT")
		chunked := strings.TrimSuffix(c.chunked(), "\r\n") + "JWT: " + c.token + "\r\n\r\n"
		c.token, c.frame = "", func(*call) string { return chunked }
	})(c)
}

func flattened(compact string) string {
	p := strings.Split(compact, ".")
	return `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`
}

func padded(n int) func(string) string {
	return func(compact string) string {
		parts := strings.Split(compact, ".")
		parts[n] += strings.Repeat("=", 4-len(parts[n])%4)
		return strings.Join(parts, ".")
	}
}

// spareBits changes an unused bit of the last base64 character of a signature of 64 bytes.
func spareBits(compact string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(compact) - 1
	changed := compact[:last] + string(alphabet[strings.IndexByte(alphabet, compact[last])+1])
	before, after := compact[strings.LastIndex(compact, ".")+1:], changed[strings.LastIndex(changed, ".")+1:]
	if !bytes.Equal(decode64(before), decode64(after)) {
		panic("not the same signature") // the row would test something else
	}
	return changed
}

func standardAlphabet(compact string) string {
	parts := strings.Split(compact, ".")
	for i, part := range parts {
		parts[i] = base64.RawStdEncoding.EncodeToString(decode64(part))
	}
	if changed := strings.Join(parts, "."); changed != compact {
		return changed
	}
	panic("the same in both alphabets") // the row would test nothing
}

func asUTF16(text string) string {
	var wide []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	return string(wide)
}

func manyClaims(c *call) {
	for len(c.claims) < 65 {
		c.claims = append(c.claims, field{"x" + seconds(int64(len(c.claims))), "1"})
	}
}

// manyNames returns an object with one name more than is accepted.
func manyNames() string {
	var o object
	for i := range 65 {
		o.set(strconv.Itoa(i), "0")
	}
	return o.String()
}

// nested puts a valid token in the place of the claims, as RFC 7519 section 5.2 describes.
func nested(c *call) {
	inner := boundRead(c.tb, c.w)
	inner.sign()
	c.encode = always(inner.token)
}
