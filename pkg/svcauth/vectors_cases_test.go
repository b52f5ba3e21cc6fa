package svcauth_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"example.com/micromachine/pkg/svcauth"
)

// acceptedVectors are the calls that the receiver accepts.
func acceptedVectors() []vector {
	return []vector{
		{name: "bound GET", valid: vectorGet},
		{name: "bound GET with ES256", valid: vectorGetBy(shopEC)},
		{name: "bound GET with RS256", valid: vectorGetBy(shopRSA)},
		{name: "bound GET a second time", valid: vectorGet, after: "bound GET"},
		{name: "bound HEAD, which an issuer that may GET may call", valid: vectorGet, change: vectorTo("HEAD", "/notification/7/")},
		{name: "bound GET with a query and percent-encoding", valid: vectorGet, change: vectorTo("GET", "/notification/%C3%A9/?a=%20b&a=1")},
		{name: "bound GET with an empty query", valid: vectorGet, change: vectorTo("GET", "/notification/7/?")},
		{name: "bound GET with a body", valid: vectorGet, change: signedBody("x")},
		{name: "bound POST", valid: vectorPost},
		{name: "bound POST with another jti", valid: vectorPost, after: "bound POST", change: stringClaim("jti", "id-of-the-test-vectors-2")},
		{name: "bound POST with the shortest jti", valid: vectorPost, change: stringClaim("jti", strings.Repeat("x", 22))},
		{name: "bound POST of an empty body", valid: vectorPost, change: signedBody("")},
		{name: "bound POST of a body in UTF-8", valid: vectorPost, change: signedBody(`{"name":"Zoë 😀"}`)},
		{name: "bound POST by the caller for itself", valid: vectorPost, change: stringClaim("sub", vectorShop)},
		{name: "bound POST with a claim of the caller's own", valid: vectorPost, change: stringClaim("tenant", "blue")},
		{name: "bound POST with white space in the JSON", valid: vectorPost, change: all(headerText(indented), claimsText(indented))},
		{name: "bound POST with escaped slashes in the JSON", valid: vectorPost, change: claimsText(escaped)},
		{name: "bound POST, expired 9 s ago", valid: vectorPost, change: all(timeClaim("iat", -69), timeClaim("exp", -9))},
		{name: "bound POST, issued 10 s in the future", valid: vectorPost, change: all(timeClaim("iat", 10), timeClaim("exp", 70))},
		{name: "bound POST, valid in 10 s", valid: vectorPost, change: timeClaim("nbf", 10)},
		{name: "bound POST with a lifetime of 300 s", valid: vectorPost, change: timeClaim("exp", 300)},
		{name: "article GET", valid: vectorArticleGet},
		{name: "article POST", valid: vectorArticlePost},
		{name: "article POST without typ and kid", valid: vectorArticlePost, change: all(noHeader("typ"), noHeader("kid"))},
		{name: "article POST without iat and jti", valid: vectorArticlePost, change: noClaim("iat", "jti")},
		{
			name: "article POST without iat and jti a second time, as nothing protects it", valid: vectorArticlePost,
			change: noClaim("iat", "jti"), after: "article POST without iat and jti",
		},
		{name: "session GET", valid: vectorSession},
		{name: "session GET with a lifetime of 900 s", valid: vectorSession, change: timeClaim("exp", 900)},
		{name: "session POST, whose body no claim covers", valid: vectorSession, change: all(method("POST"), target("/notification/"), body(vectorBody))},
	}
}

// refusedVectors are the calls that the receiver refuses, in the order of the checks.
func refusedVectors() []refusedGroup {
	return slices.Concat([]refusedGroup{
		{svcauth.CheckHeader, http.StatusUnauthorized, []vector{
			{name: "token over 8 KiB", valid: vectorGet, change: vectorTo("GET", "/notification/7/?"+strings.Repeat("x", 6000))},
		}},
		{svcauth.CheckEncoding, http.StatusUnauthorized, encodingVectors()},
		{svcauth.CheckJSON, http.StatusUnauthorized, jsonVectors()},
	}, issuerVectors(), claimVectors(), callVectors())
}

func encodingVectors() []vector {
	return []vector{
		{name: "two parts", valid: vectorGet, change: token(func(s string) string { return s[:strings.LastIndex(s, ".")] })},
		{name: "four parts", valid: vectorGet, change: token(suffixed("."))},
		{name: "padded signature", valid: vectorGet, change: token(padded(2))},
		{name: "unused bit in the last character of the signature", valid: vectorGet, change: token(spareBits)},
		{name: "standard base64 alphabet", valid: vectorGet, change: all(stringClaim("jti", strings.Repeat("?~", 20)), token(standardAlphabet))},
		{name: "space in the token", valid: vectorGet, change: token(swap(".", ". "))},
		{name: "line break after the token", valid: vectorGet, change: token(suffixed("\n"))},
		{name: "JSON serialisation", valid: vectorGet, change: token(flattened)},
	}
}

func jsonVectors() []vector {
	return []vector{
		{name: "header with alg twice", valid: vectorGet, change: addHeader("alg", `"none"`)},
		{name: "header with kid twice, once escaped", valid: vectorGet, change: addHeader(`k\u0069d`, `"x"`)},
		{name: "header with Alg beside alg", valid: vectorGet, change: addHeader("Alg", `"none"`)},
		{name: "header with crit", valid: vectorGet, change: addHeader("crit", `["exp"]`)},
		{name: "header with jwk", valid: vectorGet, change: func(c *call) { addHeader("jwk", c.signer.jwk)(c) }},
		{name: "header with an unknown member", valid: vectorGet, change: addHeader("note", `"x"`)},
		{name: "kid is null", valid: vectorArticleGet, change: header("kid", "null")},
		{name: "data after the header", valid: vectorGet, change: headerText(suffixed("{}"))},
		{name: "sub twice", valid: vectorGet, change: addClaim("sub", quote(vectorShop))},
		{name: "sub twice, once escaped", valid: vectorGet, change: addClaim(`s\u0075b`, quote(vectorShop))},
		{name: "Sub beside sub", valid: vectorGet, change: addClaim("Sub", quote(vectorShop))},
		{name: "duplicate name inside a claim of the caller's own", valid: vectorGet, change: addClaim("x", `[{"a":1,"a":2}]`)},
		{name: "invalid UTF-8", valid: vectorGet, change: addClaim("x", "\"\xff\"")},
		{name: "lone surrogate", valid: vectorGet, change: addClaim("x", `"\ud800"`)},
		{name: "depth of 9", valid: vectorGet, change: addClaim("x", strings.Repeat("[", 8)+strings.Repeat("]", 8))},
		{name: "more than 256 values", valid: vectorGet, change: addClaim("x", "["+strings.Repeat("0,", 256)+"0]")},
		{name: "33 claims of the caller's own", valid: vectorGet, change: func(c *call) {
			for n := range int64(33) {
				addClaim("x"+seconds(n), "1")(c)
			}
		}},
		{name: "data after the claims", valid: vectorGet, change: claimsText(suffixed("{}"))},
		{name: "claims are a list", valid: vectorGet, change: claimsText(func(s string) string { return "[" + s + "]" })},
		{name: "exp with a fraction of zero", valid: vectorGet, change: followedBy("exp", ".0")},
		{name: "exp with an exponent", valid: vectorGet, change: followedBy("exp", "e0")},
		{name: "exp is a string", valid: vectorGet, change: rewrittenClaim("exp", quote)},
		{name: "aud is a list of one", valid: vectorGet, change: claim("aud", `["`+vectorReceiver+`"]`)},
		{name: "bdy is null", valid: vectorGet, change: claim("bdy", "null")},
	}
}

func issuerVectors() []refusedGroup {
	return []refusedGroup{
		{svcauth.CheckIssuer, http.StatusUnauthorized, []vector{
			{name: "unknown issuer", valid: vectorGet, change: stringClaim("iss", "https://evil.example/")},
			{name: "iss without its slash", valid: vectorGet, change: stringClaim("iss", "https://shop.example")},
			{name: "no iss", valid: vectorGet, change: noClaim("iss")},
		}},
		{svcauth.CheckType, http.StatusUnauthorized, []vector{
			{name: "bound token without typ", valid: vectorGet, change: noHeader("typ")},
			{name: "bound token with typ JWT", valid: vectorGet, change: header("typ", `"JWT"`)},
			{name: "bound token with typ session+jwt", valid: vectorGet, change: header("typ", `"session+jwt"`)},
			{name: "typ in capitals", valid: vectorGet, change: header("typ", `"SVCAUTH+JWT"`)},
			{name: "article token with typ svcauth+jwt", valid: vectorArticlePost, change: header("typ", `"svcauth+jwt"`)},
			{name: "session token with typ svcauth+jwt", valid: vectorSession, change: header("typ", `"svcauth+jwt"`)},
		}},
		{svcauth.CheckKey, http.StatusUnauthorized, []vector{
			{name: "alg none, without a signature", valid: vectorGet, change: signedWith("none", sameKey)},
			{name: "alg none, with the signature", valid: vectorGet, change: header("alg", `"none"`)},
			{name: "alg HS256, with the public key as the secret", valid: vectorGet, change: signedWith("HS256", publicBytes)},
			{name: "alg ES256, with the kid of an Ed25519 key", valid: vectorGet, change: all(header("alg", `"ES256"`), signedBy(shopEC))},
			{name: "alg RS512, with an RSA key, which is for RS256", valid: vectorGetBy(shopRSA), change: signedWith("RS512", sameKey)},
			{name: "alg in lower case", valid: vectorGet, change: header("alg", `"eddsa"`)},
			{name: "alg Ed25519", valid: vectorGet, change: header("alg", `"Ed25519"`)},
			{name: "no alg", valid: vectorGet, change: noHeader("alg")},
			{name: "no kid", valid: vectorGet, change: noHeader("kid")},
			{name: "unknown kid", valid: vectorGet, change: header("kid", `"2026-01"`)},
			{name: "key of another issuer", valid: vectorGet, change: withKey(loginKey)},
		}},
		{svcauth.CheckSignature, http.StatusUnauthorized, []vector{
			{name: "signed by another key than kid names", valid: vectorGet, change: signedBy(loginKey)},
			{name: "sub changed after signing", valid: vectorGet, change: part(1, bytesOf(swap("user/21", "user/42")))},
			{name: "space added to the header after signing", valid: vectorGet, change: part(0, bytesOf(swap(`,"kid"`, `, "kid"`)))},
			{name: "no signature", valid: vectorGet, change: part(2, func([]byte) []byte { return nil })},
			{name: "signature cut to 32 bytes", valid: vectorGet, change: part(2, func(b []byte) []byte { return b[:32] })},
			{name: "Ed25519 signature plus the group's order (RFC 8032 section 8.4)", valid: vectorGet, change: part(2, plusOrder)},
			{name: "ECDSA signature in ASN.1", valid: vectorGetBy(shopEC), change: part(2, inASN1)},
			{name: "ECDSA signature of zeros", valid: vectorGetBy(shopEC), change: part(2, func([]byte) []byte { return make([]byte, 64) })},
			{name: "JSON signed in place of its base64url", valid: vectorGet, change: signsJSON},
		}},
	}
}

func claimVectors() []refusedGroup {
	return []refusedGroup{
		{svcauth.CheckAudience, http.StatusUnauthorized, []vector{
			{name: "token for another service", valid: vectorGet, change: stringClaim("aud", vectorLogin)},
			{name: "aud without its slash", valid: vectorGet, change: stringClaim("aud", "https://herald.example")},
			{name: "no aud", valid: vectorGet, change: noClaim("aud")},
		}},
		{svcauth.CheckTime, http.StatusUnauthorized, []vector{
			{name: "expired 10 s ago", valid: vectorGet, change: all(timeClaim("iat", -70), timeClaim("exp", -10))},
			{name: "issued 11 s in the future", valid: vectorGet, change: all(timeClaim("iat", 11), timeClaim("exp", 71))},
			{name: "not valid for another 11 s", valid: vectorGet, change: timeClaim("nbf", 11)},
			{name: "expires before it is issued", valid: vectorGet, change: all(timeClaim("iat", 5), timeClaim("exp", 4))},
			{name: "lifetime of 301 s", valid: vectorGet, change: timeClaim("exp", 301)},
			{name: "lifetime of an hour, nearly over", valid: vectorGet, change: all(timeClaim("iat", -3540), timeClaim("exp", 60))},
			{name: "no exp", valid: vectorGet, change: noClaim("exp")},
			{name: "no iat", valid: vectorGet, change: noClaim("iat")},
			{name: "article token without exp", valid: vectorArticlePost, change: noClaim("exp")},
			{name: "article token without iat that expires in 311 s", valid: vectorArticlePost, change: all(noClaim("iat"), timeClaim("exp", 311))},
			{name: "session of 901 s", valid: vectorSession, change: timeClaim("exp", 901)},
		}},
		{svcauth.CheckClaims, http.StatusUnauthorized, []vector{
			{name: "no sub", valid: vectorGet, change: noClaim("sub")},
			{name: "no jti", valid: vectorGet, change: noClaim("jti")},
			{name: "jti of 21 bytes", valid: vectorGet, change: stringClaim("jti", strings.Repeat("x", 21))},
			{name: "jti of 129 bytes", valid: vectorGet, change: stringClaim("jti", strings.Repeat("x", 129))},
			{name: "bound POST without bdy", valid: vectorPost, change: noClaim("bdy")},
			{name: "bound POST of an empty body without bdy", valid: vectorGet, change: vectorTo("POST", "/notification/")},
			{name: "bound GET with a body and no bdy", valid: vectorGet, change: body("x")},
			{name: "article POST without bdy", valid: vectorArticlePost, change: noClaim("bdy")},
			{name: "article token with htm", valid: vectorArticleGet, change: stringClaim("htm", "GET")},
			{name: "session token with bdy", valid: vectorSession, change: stringClaim("bdy", sha256Body(""))},
		}},
		{svcauth.CheckRequest, http.StatusUnauthorized, []vector{
			{name: "no htm", valid: vectorGet, change: noClaim("htm")},
			{name: "htm in lower case", valid: vectorGet, change: stringClaim("htm", "get")},
			{name: "another method", valid: vectorPost, change: method("PUT")},
			{name: "no htu", valid: vectorGet, change: noClaim("htu")},
			{name: "another path", valid: vectorGet, change: target("/notification/8/")},
			{name: "path without its slash", valid: vectorGet, change: target("/notification/7")},
			{name: "letter of the path percent-encoded", valid: vectorGet, change: target("/%6Eotification/7/")},
			{name: "query added", valid: vectorGet, change: target("/notification/7/?a=1")},
			{name: "query in another order", valid: vectorGet, change: all(vectorTo("GET", "/notification/7/?a=1&b=2"), target("/notification/7/?b=2&a=1"))},
			{name: "query removed", valid: vectorGet, change: all(vectorTo("GET", "/notification/7/?a=1"), target("/notification/7/"))},
			{name: "htu of another host", valid: vectorGet, change: stringClaim("htu", "https://evil.example/notification/7/")},
			{name: "htu with the default port", valid: vectorGet, change: stringClaim("htu", "https://herald.example:443/notification/7/")},
		}},
	}
}

func callVectors() []refusedGroup {
	return []refusedGroup{
		{svcauth.CheckAllow, http.StatusForbidden, []vector{
			{name: "method that is not allowed", valid: vectorPost, change: vectorTo("DELETE", "/notification/7/")},
			{name: "path that is not allowed", valid: vectorGet, change: vectorTo("GET", "/user/42/")},
			{name: "path with a segment more than is allowed", valid: vectorGet, change: vectorTo("GET", "/notification/7/attempt/")},
			{name: "article call that is not allowed", valid: vectorArticleGet, change: target("/user/42/")},
		}},
		{svcauth.CheckSubject, http.StatusForbidden, []vector{
			{name: "another service as subject", valid: vectorGet, change: stringClaim("sub", vectorAnother)},
			{name: "user of another host as subject", valid: vectorGet, change: stringClaim("sub", "https://census.example.evil.example/user/21/")},
			{name: "subject with a segment more than is allowed", valid: vectorGet, change: stringClaim("sub", vectorUser+"viewer/")},
			{name: "session for a user of another issuer", valid: vectorSession, change: stringClaim("sub", vectorShop+"user/21/")},
		}},
		{svcauth.CheckBody, http.StatusUnauthorized, []vector{
			{name: "body changed", valid: vectorPost, change: body(strings.Replace(vectorBody, "42", "21", 1))},
			{name: "line break after the body", valid: vectorPost, change: body(vectorBody + "\n")},
			{name: "body removed", valid: vectorPost, change: body("")},
			{name: "bdy is base64url", valid: vectorPost, change: stringClaim("bdy", strings.NewReplacer("+", "-", "/", "_").Replace(sha256Body(vectorBody)))},
			{name: "bound token with the bdy of an article token", valid: vectorPost, change: stringClaim("bdy", md5Body(vectorBody))},
			{name: "article body changed", valid: vectorArticlePost, change: body("{}")},
			{name: "article bdy in capitals", valid: vectorArticlePost, change: stringClaim("bdy", strings.ToUpper(md5Body(vectorBody)))},
			{name: "article token with the bdy of a bound token", valid: vectorArticlePost, change: stringClaim("bdy", sha256Body(vectorBody))},
		}},
		{svcauth.CheckReplay, http.StatusUnauthorized, []vector{
			{name: "bound POST a second time", valid: vectorPost, after: "bound POST"},
			{name: "jti of another call", valid: vectorPost, after: "bound POST", change: signedBody("{}")},
			{name: "bound GET with a body a second time", valid: vectorGet, after: "bound GET with a body", change: signedBody("x")},
			{name: "article POST a second time", valid: vectorArticlePost, after: "article POST"},
		}},
	}
}

// indented writes JSON on several lines.
func indented(text string) string {
	var lines bytes.Buffer
	if err := json.Indent(&lines, []byte(text), "", "\t"); err != nil {
		panic(err) // the forger wrote it
	}
	return lines.String()
}

// escaped writes JSON as PHP does, with a backslash before each slash.
func escaped(text string) string { return strings.ReplaceAll(text, "/", `\/`) }
