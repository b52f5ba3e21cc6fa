package svcauth_test

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

// callAttacks are attacks by trusted issuers: with calls and subjects that they are not allowed,
// with a body other than the signed one, and with used tokens.
func callAttacks() []group {
	return []group{
		{svcauth.CheckAllow, http.StatusForbidden, allowAttacks()},
		{svcauth.CheckSubject, http.StatusForbidden, subjectAttacks()},
		{svcauth.CheckBody, http.StatusUnauthorized, bodyAttacks()},
		{svcauth.CheckBody, http.StatusRequestEntityTooLarge, []attack{
			{name: "body over the limit", source: "design §5.6", valid: boundWrite, change: signedBody(strings.Repeat("x", maxBody+1))},
			{name: "chunked body over the limit", source: "design §5.6", valid: boundWrite, change: all(signedBody(strings.Repeat("x", maxBody+1)), framed((*call).chunked))},
			{name: "article body over the limit", source: "design §5.6", valid: articleWrite, change: all(body(strings.Repeat("x", 2*maxBody)), stringClaim("bdy", md5Body(strings.Repeat("x", 2*maxBody))))},
		}},
		{svcauth.CheckReplay, http.StatusUnauthorized, []attack{
			{name: "replay", source: "RFC 7519 §4.1.7, design §5.7", valid: boundWrite, change: replayed},
			{name: "replay of an article token", source: "RFC 7519 §4.1.7, design §4", valid: articleWrite, change: replayed},
			{name: "replay of a no-expiry token", source: "RFC 7519 §4.1.7, design §4", valid: noExpiryWrite, change: replayed},
			{name: "replay of a read with a body", source: "design §4", valid: boundRead, change: all(signedBody(newUser), replayed)},
			{name: "replay with a header added", source: "design §5.7", valid: boundWrite, change: all(replayed, line("X-Request-Id: 2"))},
			{name: "replay with the other ECDSA signature", source: "RFC 8725 §3.2, design §5.7", valid: boundBy(shopEC), change: all(signedBody(newUser), replayed, part(2, otherECDSA))},
			{name: "jti used for another body", source: "RFC 7519 §4.1.7", valid: boundWrite, change: sameID(signedBody(`{}`))},
			{name: "token that expires before it is burnt", source: "design §4", valid: boundWrite, change: expiresInStore},
			{name: "article token that expires before it is burnt", source: "design §4", valid: articleWrite, change: expiresInStore},
			{name: "jti used, signed again", source: "RFC 7519 §4.1.7", valid: boundWrite, change: sameID(timeClaim("exp", 90))},
		}},
		{svcauth.CheckReplay, http.StatusServiceUnavailable, []attack{
			{name: "replay store down", source: "design §5.7", valid: boundWrite, change: storeDown},
			{name: "replay store down for an article token", source: "design §5.7", valid: articleWrite, change: storeDown},
		}},
	}
}

func allowAttacks() []attack {
	read := func(name, target string) attack {
		return attack{name: name, source: "design §5.5", valid: boundRead, change: to("GET", target)}
	}
	return []attack{
		{name: "method that is not allowed", source: "design §5.5", valid: boundWrite, change: to("DELETE", "/user/42/")},
		{name: "method allowed on another path", source: "design §5.5", valid: boundWrite, change: to("POST", "/user/42/")},
		{name: "method in lower case, also in the token", source: "RFC 9110 §9.1", valid: boundWrite, change: to("post", "/user/")},
		{name: "HEAD where POST alone is allowed", source: "design §5.5", valid: boundRead, change: to("HEAD", "/user/")},
		{name: "OPTIONS", source: "design §5.5", valid: boundRead, change: to("OPTIONS", "/user/42/")},
		{name: "TRACE", source: "design §5.5", valid: boundWrite, change: to("TRACE", "/user/42/")},
		{name: "article call that is not allowed", source: "design §5.5", valid: articleWrite, change: unboundTo("DELETE", "/user/42/")},
		{name: "article call with encoded slashes", source: "design §5.5", valid: articleRead, change: unboundTo("GET", "/user/42%2F..%2F..%2Fadmin")},
		{name: "backslash", source: "design §5.5", valid: articleRead, change: unboundTo("GET", `/user/..\admin`)},
		{name: "bare quotation mark", source: "design §5.5", valid: articleRead, change: unboundTo("GET", `/user/"42"/`)},
		{name: "bare number sign", source: "design §5.5", valid: articleRead, change: unboundTo("GET", "/user/42#/")},
		{name: "bare letter beyond ASCII", source: "design §5.5", valid: articleRead, change: unboundTo("GET", "/user/é/")},
		{name: "scheme without an authority", source: "design §5.5", valid: articleRead, change: unboundTo("GET", "https:user/42/")},
		{name: "article call behind http.StripPrefix", source: "design §5.4", valid: articleRead, change: unboundTo("GET", mounted+"/user/42/")},
		read("path behind http.StripPrefix, also in the token", mounted+"/user/42/"),
		read("another path", "/admin/"),
		read("path above the pattern", "/user/"),
		read("path below the pattern", "/user/42/viewer/"),
		read("path in upper case", "/USER/42/"),
		read("slash doubled at the start", "//user/42/"),
		read("slash doubled inside", "/user//42/"),
		read("slash doubled at the end", "/user/42//"),
		read("dot segment", "/./user/42/"),
		read("double-dot segment", "/user/../admin/"),
		read("double-dot segment back to the pattern", "/admin/../user/42/"),
		read("double-dot segment as the user", "/user/.."),
		read("encoded double-dot segment", "/user/%2E%2E/"),
		read("half-encoded double-dot segment", "/user/.%2e/"),
		read("encoded slash", "/user/42%2Fviewer"),
		read("encoded slash in lower case", "/user/42%2fviewer"),
		read("encoded backslash", "/user/..%5Cadmin"),
		read("path parameter", "/user/42;admin=true/"),
		read("path parameter on double dots", "/user/..;/"),
		read("encoded path parameter", "/user/42%3Badmin=true/"),
		read("encoded tilde", "/user/%7E/"),
		read("encoded letter", "/us%65r/42/"),
		read("encoded digit", "/user/4%32/"),
		read("encoding in lower case", "/user/%c3%a9/"),
		read("encoded NUL", "/user/42%00/"),
		read("encoded DEL", "/user/42%7F/"),
		read("encoded line break", "/user/42%0D%0A/"),
		read("bracket", "/user/[42]/"),
	}
}

func subjectAttacks() []attack {
	sub := func(name, subject string) attack {
		return attack{name: "subject " + name, source: "design §5.5", valid: boundRead, change: stringClaim("sub", subject)}
	}
	user := func(name, subject string) attack {
		return attack{name: "session subject " + name, source: "design §4", valid: session, change: stringClaim("sub", subject)}
	}
	return []attack{
		sub("of another origin", "https://evil.service/user/21/"),
		sub("of a longer host", "https://census.service.evil/user/21/"),
		sub("that is another service", shop),
		sub("that is the receiver", census),
		sub("that is the caller without its slash", "https://herald.service"),
		sub("below the caller", herald+"user/21/"),
		sub("with user info", "https://herald@census.service/user/21/"),
		sub("that has the origin as user info", "https://census.service@evil.service/user/21/"),
		sub("with a port", "https://census.service:443/user/21/"),
		sub("with another port", "https://census.service:8443/user/21/"),
		sub("over http", "http://census.service/user/21/"),
		sub("with a scheme in upper case", "HTTPS://census.service/user/21/"),
		sub("with a host in upper case", "https://CENSUS.service/user/21/"),
		sub("with a path in upper case", "https://census.service/USER/21/"),
		sub("with a query", user21+"?admin"),
		sub("with an empty query", user21+"?"),
		sub("with a fragment", user21+"#admin"),
		sub("with an encoded digit", "https://census.service/user/2%31/"),
		sub("with an encoded slash", "https://census.service/user%2F21/"),
		sub("with an encoded slash in the user", "https://census.service/user/21%2F..%2F1/"),
		sub("with an encoded host", "https://census%2Eservice/user/21/"),
		sub("with double dots", "https://census.service/user/21/../1/"),
		sub("with double dots as the user", "https://census.service/user/../"),
		sub("with a slash doubled", "https://census.service//user/21/"),
		sub("with a parameter", "https://census.service/user/21;x/"),
		sub("with an encoded parameter", "https://census.service/user/21%3Bx/"),
		sub("with a backslash", `https://census.service/user/21\/`),
		sub("with a space after it", user21+" "),
		sub("with a line break after it", user21+"\n"),
		sub("with a NUL in it", "https://census.service/user/21\x00/"),
		sub("with a look-alike letter", "https://сensus.service/user/21/"),
		sub("two segments deep", "https://census.service/user/21/viewer/"),
		sub("with no user", "https://census.service/user/"),
		sub("without an origin", "/user/21/"),
		sub("that is a bare number", "21"),
		{name: "article subject of another origin", source: "design §5.5", valid: articleWrite, change: stringClaim("sub", "https://census.service.evil/user/21/")},
		user("that is the issuer", login),
		user("of another issuer", user21),
		user("with a query", login+"user/21/?admin"),
		user("with double dots", login+"user/../1/"),
		user("with user info", "https://x@login.service/user/21/"),
	}
}

func bodyAttacks() []attack {
	return []attack{
		{name: "body changed", source: "design §4", valid: boundWrite, change: body(`{"name":"Census Uber"}`)},
		{name: "body removed", source: "design §4", valid: boundWrite, change: body("")},
		{name: "body put where none was signed", source: "design §4", valid: boundWrite, change: all(signedBody(""), body("x"))},
		{name: "line break after the body", source: "design §4", valid: boundWrite, change: body(newUser + "\n")},
		{name: "last chunk added", source: "RFC 9112 §7.1", valid: boundWrite, change: rawFrame("Transfer-Encoding: chunked\n\n16\n" + newUser + "\n1\n \n0\n\n")},
		{name: "body ends early", source: "RFC 9112 §8", valid: boundWrite, change: rawFrame("Content-Length: 100\n\n" + newUser)},
		{name: "chunked body ends early", source: "RFC 9112 §8", valid: boundWrite, change: rawFrame("Transfer-Encoding: chunked\n\n16\n" + newUser + "\n")},
		{name: "garbage for a chunk's length", source: "RFC 9112 §7.1", valid: boundWrite, change: rawFrame("Transfer-Encoding: chunked\n\nzz\n" + newUser + "\n0\n\n")},
		{name: "body on GET that was not signed", source: "design §4", valid: boundRead, change: all(signedBody(newUser), body("x"))},
		{name: "hash of the decoded body", source: "RFC 9530 §2", valid: boundWrite, change: all(line("Content-Encoding: gzip"), body("\x1f\x8b\x08\x00"))},
		{name: "bdy is MD5 in a bound token", source: "RFC 8725 §3.2, design §4", valid: boundWrite, change: stringClaim("bdy", md5Body(newUser))},
		{name: "bdy is SHA-512", source: "RFC 9530 §2, design §4", valid: boundWrite, change: rewrittenClaim("bdy", swap("sha-256", "sha-512"))},
		{name: "bdy without colons", source: "RFC 9530 §2", valid: boundWrite, change: rewrittenClaim("bdy", swap(":", ""))},
		{name: "bdy names its algorithm in upper case", source: "RFC 9530 §2", valid: boundWrite, change: rewrittenClaim("bdy", swap("sha-256", "SHA-256"))},
		{name: "bdy of two algorithms", source: "RFC 9530 §2", valid: boundWrite, change: rewrittenClaim("bdy", swap("sha-256", "md5=:AAAA:, sha-256"))},
		{name: "bdy of an empty body", source: "design §4", valid: boundWrite, change: stringClaim("bdy", sha256Body(""))},
		{name: "article body changed", source: "article, design §4", valid: articleWrite, change: body(`{}`)},
		{name: "article bdy in upper case", source: "design §4", valid: articleWrite, change: rewrittenClaim("bdy", strings.ToUpper)},
		{name: "article bdy is SHA-256", source: "design §4", valid: articleWrite, change: stringClaim("bdy", sha256Body(newUser))},
	}
}

// signedBody gives a bound call another body before it is signed.
func signedBody(body string) mutation {
	return func(c *call) {
		c.body = body
		c.claims.set("bdy", quote(sha256Body(body)))
	}
}

// replayed sends the finished request once, so that the call is a replay of it.
func replayed(c *call) { wire(func(c *call) { c.mustPass() })(c) }

// sameID sends another valid request with the same jti first.
func sameID(change mutation) mutation {
	return func(c *call) {
		first := *c
		first.claims = append(object{}, c.claims...)
		first.sign()
		first.mustPass()
		change(c)
	}
}

// expiresInStore moves the clock forward after the verifier's checks, when it asks the replay
// store.
func expiresInStore(c *call) {
	c.w.replay.before = func() { c.w.ahead.Store(int64(70 * time.Second)) }
	c.tb.Cleanup(func() {
		c.w.replay.before = nil
		c.w.ahead.Store(0)
	})
}

func storeDown(c *call) {
	c.w.replay.fault = errors.New("no connection")
	c.tb.Cleanup(func() { c.w.replay.fault = nil })
}
