package svcauth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

// claimAttacks are attacks with tokens whose signature is good: for another receiver, another time,
// another request.
func claimAttacks() []group {
	return []group{
		{svcauth.CheckAudience, http.StatusUnauthorized, []attack{
			{name: "token for another service", source: "RFC 8725 §3.9", valid: boundRead, change: stringClaim("aud", shop)},
			{name: "article token for another service", source: "RFC 8725 §3.9", valid: articleWrite, change: stringClaim("aud", shop)},
			{name: "session token for another service", source: "RFC 8725 §3.9", valid: session, change: stringClaim("aud", shop)},
			{name: "no aud", source: "RFC 8725 §3.9", valid: boundRead, change: noClaim("aud")},
			{name: "session token without aud", source: "RFC 8725 §3.9, design §4", valid: session, change: noClaim("aud")},
			{name: "aud without its slash", source: "design §4", valid: boundRead, change: stringClaim("aud", "https://census.service")},
			{name: "aud in other case", source: "design §4", valid: boundRead, change: stringClaim("aud", "https://Census.service/")},
			{name: "aud over http", source: "design §4", valid: boundRead, change: stringClaim("aud", "http://census.service/")},
			{name: "aud with a port", source: "design §4", valid: boundRead, change: stringClaim("aud", "https://census.service:443/")},
			{name: "aud with a path", source: "design §4", valid: boundRead, change: stringClaim("aud", census+"user/")},
			{name: "aud is a longer host", source: "design §4", valid: boundRead, change: stringClaim("aud", "https://census.service.evil/")},
			{name: "aud is what the Host header says", source: "design §4", valid: boundRead, change: all(stringClaim("aud", "https://evil.service/"), host("evil.service"))},
		}},
		{svcauth.CheckTime, http.StatusUnauthorized, timeAttacks()},
		{svcauth.CheckClaims, http.StatusUnauthorized, missingClaimAttacks()},
		{svcauth.CheckRequest, http.StatusUnauthorized, requestAttacks()},
	}
}

func timeAttacks() []attack {
	return []attack{
		{name: "expired", source: "RFC 7519 §4.1.4", valid: boundRead, change: all(timeClaim("iat", -70), timeClaim("exp", -10))},
		{name: "article token expired", source: "RFC 7519 §4.1.4", valid: articleWrite, change: all(timeClaim("iat", -70), timeClaim("exp", -10))},
		{name: "session token expired", source: "RFC 7519 §4.1.4", valid: session, change: all(timeClaim("iat", -910), timeClaim("exp", -10))},
		{name: "expired token of an issuer whose tokens need no expiry", source: "RFC 7519 §4.1.4", valid: noExpiryWrite, change: timeClaim("exp", -10)},
		{name: "not yet valid", source: "RFC 7519 §4.1.5", valid: boundRead, change: timeClaim("nbf", 11)},
		{name: "no-expiry token not yet valid", source: "RFC 7519 §4.1.5", valid: noExpiryWrite, change: timeClaim("nbf", 11)},
		{name: "issued in the future", source: "RFC 7519 §4.1.6", valid: boundRead, change: timeClaim("iat", 11)},
		{name: "no-expiry token issued in the future", source: "RFC 7519 §4.1.6", valid: noExpiryWrite, change: timeClaim("iat", 11)},
		{name: "no exp", source: "design §4", valid: boundRead, change: noClaim("exp")},
		{name: "no iat", source: "design §4", valid: boundRead, change: noClaim("iat")},
		{name: "article token without exp", source: "design §4", valid: articleWrite, change: noClaim("exp")},
		{name: "session token without exp", source: "design §4", valid: session, change: noClaim("exp")},
		{name: "session token without exp of an issuer whose tokens need none", source: "design §4", valid: noExpirySession, change: noClaim("exp")},
		{name: "session token without iat", source: "design §4", valid: session, change: noClaim("iat")},
		{name: "lifetime of 301 s", source: "design §4", valid: boundRead, change: timeClaim("exp", 301)},
		{name: "lifetime of an hour, of which a minute is left", source: "design §4", valid: boundRead, change: all(timeClaim("iat", -3540), timeClaim("exp", 60))},
		{name: "exp is the largest number", source: "design §4", valid: boundRead, change: claim("exp", "9007199254740991")},
		{name: "expires before it is issued", source: "design §4", valid: boundRead, change: all(timeClaim("iat", 5), timeClaim("exp", 4))},
		{name: "expires when it is issued", source: "design §4", valid: boundRead, change: timeClaim("exp", 0)},
		{name: "article lifetime of 301 s", source: "design §4", valid: articleWrite, change: timeClaim("exp", 301)},
		{name: "article token without iat that expires in 311 s", source: "design §4", valid: articleWrite, change: all(noClaim("iat"), timeClaim("exp", 311))},
		{name: "session of 901 s", source: "design §4", valid: session, change: timeClaim("exp", 901)},
		{name: "body that arrives when the token has expired", source: "design §5.6", valid: boundWrite, change: lateBody(70 * time.Second)},
		{name: "article body that arrives when the token has expired", source: "design §5.6", valid: articleWrite, change: lateBody(70 * time.Second)},
		{name: "used again with a body that arrives when the replay record is deleted", source: "design §5.6", valid: boundWrite, change: all(replayed, lateBody(3*time.Minute))},
		{name: "article token used again with a body that arrives when the replay record is deleted", source: "design §5.6", valid: articleWrite, change: all(replayed, lateBody(3*time.Minute))},
		{name: "body on GET that arrives when the token has expired", source: "design §5.6", valid: boundRead, change: all(signedBody(newUser), lateBody(70*time.Second))},
	}
}

func missingClaimAttacks() []attack {
	return []attack{
		{name: "no sub", source: "design §4", valid: boundRead, change: noClaim("sub")},
		{name: "article token without sub", source: "design §4", valid: articleWrite, change: noClaim("sub")},
		{name: "session token without sub", source: "design §4", valid: session, change: noClaim("sub")},
		{name: "no jti", source: "design §4", valid: boundRead, change: noClaim("jti")},
		{name: "jti too short to be random", source: "design §4", valid: boundWrite, change: stringClaim("jti", strings.Repeat("x", 21))},
		{name: "jti of 129 bytes", source: "design §4", valid: boundWrite, change: stringClaim("jti", strings.Repeat("x", 129))},
		{name: "article jti of 129 bytes", source: "design §4", valid: articleWrite, change: stringClaim("jti", strings.Repeat("x", 129))},
		{name: "POST without bdy", source: "design §4", valid: boundWrite, change: noClaim("bdy")},
		{name: "POST without body and bdy", source: "design §4", valid: boundRead, change: to("POST", "/user/")},
		{name: "PUT without bdy", source: "design §4", valid: boundRead, change: to("PUT", "/user/42/")},
		{name: "PATCH without bdy", source: "design §4", valid: boundRead, change: to("PATCH", "/user/42/")},
		{name: "DELETE without bdy", source: "design §4", valid: boundRead, change: to("DELETE", "/user/42/")},
		{name: "unknown method without bdy", source: "design §4", valid: boundRead, change: to("PURGE", "/user/42/")},
		{name: "method get without bdy", source: "RFC 9110 §9.1", valid: boundRead, change: to("get", readPath)},
		{name: "article POST without bdy", source: "design §4", valid: articleWrite, change: noClaim("bdy")},
		{name: "article read token on DELETE", source: "design §4", valid: articleRead, change: method("DELETE")},
		{name: "body on GET without bdy", source: "design §4", valid: boundRead, change: body(newUser)},
		{name: "chunked body on GET without bdy", source: "design §4", valid: boundRead, change: all(body(newUser), framed((*call).chunked))},
		{name: "article's chunked body on GET without bdy", source: "design §4", valid: articleRead, change: all(body(newUser), framed((*call).chunked))},
		{name: "article body on GET without bdy", source: "design §4", valid: articleRead, change: body(newUser)},
		{name: "session token with htm", source: "RFC 8725 §3.12", valid: session, change: stringClaim("htm", "GET")},
		{name: "session token with htu", source: "RFC 8725 §3.12", valid: session, change: stringClaim("htu", "https://census.service"+readPath)},
		{name: "session token with bdy", source: "RFC 8725 §3.12", valid: sessionWrite, change: stringClaim("bdy", sha256Body(newUser))},
		{name: "article token with htm", source: "RFC 8725 §3.12", valid: articleRead, change: stringClaim("htm", "POST")},
		{name: "article token with htu", source: "RFC 8725 §3.12", valid: articleRead, change: stringClaim("htu", "https://shop.service/")},
	}
}

func requestAttacks() []attack {
	const origin = "https://census.service"
	return []attack{
		{name: "no htm", source: "design §4", valid: boundRead, change: noClaim("htm")},
		{name: "no htu", source: "design §4", valid: boundRead, change: noClaim("htu")},
		{name: "method changed to POST", source: "design §4", valid: boundWriteTo("PUT", "/user/"), change: method("POST")},
		{name: "method changed to HEAD", source: "design §4", valid: boundRead, change: method("HEAD")},
		{name: "method changed to OPTIONS", source: "design §4", valid: boundRead, change: method("OPTIONS")},
		{name: "method changed to lower case", source: "RFC 9110 §9.1", valid: boundWrite, change: method("post")},
		{name: "htm in lower case", source: "RFC 9110 §9.1", valid: boundRead, change: stringClaim("htm", "get")},
		{name: "htm with a space after it", source: "RFC 9449 §4.3", valid: boundRead, change: stringClaim("htm", "GET ")},
		{name: "path changed", source: "RFC 9449 §4.3", valid: boundRead, change: target("/user/43/?expand=viewer")},
		{name: "path in other case", source: "RFC 9449 §4.3", valid: boundRead, change: target("/User/42/?expand=viewer")},
		{name: "slash at the end removed", source: "RFC 9449 §4.3", valid: boundRead, change: target("/user/42?expand=viewer")},
		{name: "slash doubled", source: "RFC 9449 §4.3", valid: boundRead, change: target("//user/42/?expand=viewer")},
		{name: "letter of the path encoded", source: "RFC 9449 §4.3", valid: boundRead, change: target("/%75ser/42/?expand=viewer")},
		{name: "dot segments added", source: "RFC 9449 §4.3", valid: boundRead, change: target("/user/1/../42/?expand=viewer")},
		{name: "quotation mark decoded", source: "design §4", valid: boundReadTo("/user/%22/"), change: target(`/user/"/`)},
		{name: "number sign decoded", source: "design §4", valid: boundReadTo("/user/%23/"), change: target("/user/#/")},
		{name: "letter beyond ASCII decoded", source: "design §4", valid: boundReadTo("/user/%C3%A9/"), change: target("/user/é/")},
		{name: "query removed", source: "design §4", valid: boundRead, change: target("/user/42/")},
		{name: "query added", source: "design §4", valid: boundRead, change: target(readPath + "&admin=true")},
		{name: "query changed", source: "design §4", valid: boundRead, change: target("/user/42/?expand=Viewer")},
		{name: "query encoded", source: "design §4", valid: boundRead, change: target("/user/42/?expand=%76iewer")},
		{name: "query in another order", source: "design §4", valid: boundReadTo("/user/42/?a=1&b=2"), change: target("/user/42/?b=2&a=1")},
		{name: "empty query added", source: "design §4", valid: boundReadTo("/user/42/"), change: target("/user/42/?")},
		{name: "htu without the query", source: "RFC 9449 §4.2, design §4", valid: boundRead, change: stringClaim("htu", origin+"/user/42/")},
		{name: "htu over http", source: "design §4", valid: boundRead, change: stringClaim("htu", "http://census.service"+readPath)},
		{name: "htu of another host", source: "design §4", valid: boundRead, change: all(stringClaim("htu", "https://evil.service"+readPath), host("evil.service"))},
		{name: "htu with a port", source: "design §4", valid: boundRead, change: stringClaim("htu", origin+":443"+readPath)},
		{name: "htu with user info", source: "design §4", valid: boundRead, change: stringClaim("htu", "https://x@census.service"+readPath)},
		{name: "htu with a fragment", source: "design §4", valid: boundRead, change: stringClaim("htu", origin+readPath+"#x")},
		{name: "htu is the path alone", source: "design §4", valid: boundRead, change: stringClaim("htu", readPath)},
		{name: "path behind http.StripPrefix", source: "design §5.4", valid: boundRead, change: target(mounted + readPath)},
		{name: "path behind http.StripPrefix, of a write", source: "design §5.4", valid: boundWrite, change: target(mounted + "/user/")},
		{name: "absolute form of a path behind http.StripPrefix", source: "RFC 9112 §3.2.2", valid: boundRead, change: target(origin + mounted + readPath)},
		{name: "absolute form with user info", source: "RFC 9110 §4.2.4", valid: boundRead, change: target("https://x@census.service" + readPath)},
		{name: "absolute form of another scheme", source: "RFC 9110 §4.2", valid: boundRead, change: target("ftp://census.service" + readPath)},
		{name: "absolute form with another path", source: "RFC 9112 §3.2.2", valid: boundRead, change: target(origin + "/user/43/")},
	}
}

// boundReadTo returns a kind of valid read of another resource.
func boundReadTo(target string) kind {
	return func(tb testing.TB, w *world) *call {
		tb.Helper()
		c := boundRead(tb, w)
		to(http.MethodGet, target)(c)
		return c
	}
}

// boundWriteTo returns a kind of valid write.
func boundWriteTo(method, target string) kind {
	return func(tb testing.TB, w *world) *call {
		tb.Helper()
		c := boundWrite(tb, w)
		to(method, target)(c)
		return c
	}
}
