package svcauth_test

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A mutation changes one thing about a valid call. Those that change what is signed are applied
// before those that tamper with what was signed, whatever the order in which they are listed.
type mutation func(*call)

// all combines several mutations.
func all(mutations ...mutation) mutation {
	return func(c *call) {
		for _, mutate := range mutations {
			mutate(c)
		}
	}
}

// header sets a header member to a JSON text.
func header(name, raw string) mutation { return func(c *call) { c.header.set(name, raw) } }

// noHeader leaves a header member out.
func noHeader(name string) mutation { return func(c *call) { c.header.remove(name) } }

// addHeader adds a header member, even if there is one of that name.
func addHeader(name, raw string) mutation {
	return func(c *call) { c.header = append(c.header, field{name, raw}) }
}

// claim sets a claim to a JSON text.
func claim(name, raw string) mutation { return func(c *call) { c.claims.set(name, raw) } }

// stringClaim sets a claim to a string.
func stringClaim(name, value string) mutation { return claim(name, quote(value)) }

// noClaim leaves claims out.
func noClaim(names ...string) mutation {
	return func(c *call) {
		for _, name := range names {
			c.claims.remove(name)
		}
	}
}

// addClaim adds a claim, even if there is one of that name.
func addClaim(name, raw string) mutation {
	return func(c *call) { c.claims = append(c.claims, field{name, raw}) }
}

// rewrittenClaim changes the JSON text of a claim.
func rewrittenClaim(name string, rewrite func(raw string) string) mutation {
	return func(c *call) { c.claims.set(name, rewrite(c.claims.get(name))) }
}

// followedBy appends to the JSON text of a claim.
func followedBy(name, suffix string) mutation {
	return rewrittenClaim(name, func(raw string) string { return raw + suffix })
}

// timeClaim sets a claim to a time so many seconds from now.
func timeClaim(name string, offset int64) mutation {
	return func(c *call) { c.claims.set(name, seconds(c.w.now.Unix()+offset)) }
}

// claimsText changes the JSON text of the claims before it is signed.
func claimsText(change func(string) string) mutation { return func(c *call) { c.encode = change } }

// headerText changes the JSON text of the header before it is signed.
func headerText(change func(string) string) mutation {
	return func(c *call) { c.encodeHeader = change }
}

// signedBy signs with another key. The token still names the first key.
func signedBy(key func(*world) *forger) mutation { return func(c *call) { c.signer = key(c.w) } }

// withKey signs with another key, which the token names.
func withKey(key func(*world) *forger) mutation {
	return func(c *call) {
		c.signer = key(c.w)
		c.header.set("alg", quote(c.signer.alg))
		c.header.set("kid", quote(c.signer.kid))
	}
}

// signedWith signs by another algorithm, which the header names, with a key that is made from the
// signer's own.
func signedWith(alg string, key func(*forger) any) mutation {
	return func(c *call) {
		c.header.set("alg", quote(alg))
		c.signer = &forger{alg: alg, key: key(c.signer)}
	}
}

// to changes the method and the target of a call, and the claims that name them.
func to(method, target string) mutation {
	return func(c *call) {
		c.method, c.target = method, target
		c.claims.set("htm", quote(method))
		c.claims.set("htu", quote(strings.TrimSuffix(census, "/")+target))
	}
}

// padded8K lengthens the URL of a bound read until a token with an EdDSA signature takes 8 KiB, and
// then by more bytes.
func padded8K(more int) mutation {
	return func(c *call) {
		size := func(pad int) int {
			to(http.MethodGet, readPath+"&pad="+strings.Repeat("x", pad))(c)
			return len(base64URL([]byte(c.header.String()))) + len(base64URL([]byte(c.claims.String()))) + len("..") + 86
		}
		pad := 5 << 10
		for size(pad+1) <= 8<<10 {
			pad++
		}
		size(pad + more)
	}
}

// unboundTo changes the method and the target of a call whose token does not name them.
func unboundTo(method, target string) mutation {
	return func(c *call) { c.method, c.target = method, target }
}

// wire tampers with the finished request.
func wire(tamper func(*call)) mutation {
	return func(c *call) { c.onWire = append(c.onWire, tamper) }
}

// token tampers with the finished token.
func token(tamper func(string) string) mutation {
	return wire(func(c *call) { c.token = tamper(c.token) })
}

// part tampers with the decoded bytes of one of a token's three parts.
func part(n int, tamper func([]byte) []byte) mutation {
	return token(func(compact string) string {
		parts := strings.Split(compact, ".")
		parts[n] = base64URL(tamper(decode64(parts[n])))
		return strings.Join(parts, ".")
	})
}

// method, target, host, line, body and framed tamper with the rest of the request.
func method(m string) mutation { return wire(func(c *call) { c.method = m }) }
func target(t string) mutation { return wire(func(c *call) { c.target = t }) }
func host(h string) mutation   { return wire(func(c *call) { c.host = h }) }
func line(l string) mutation   { return wire(func(c *call) { c.lines = append(c.lines, l) }) }
func body(b string) mutation   { return wire(func(c *call) { c.body = b }) }

// lateBody moves the clock forward while the server waits for the body.
func lateBody(by time.Duration) mutation {
	return wire(func(c *call) {
		c.tb.Cleanup(func() { c.w.ahead.Store(0) })
		c.beforeBody = func() { c.w.ahead.Store(int64(by)) }
	})
}

func framed(frame func(*call) string) mutation { return func(c *call) { c.frame = frame } }

// rawFrame replaces the end of the header and the body with these bytes.
func rawFrame(text string) mutation {
	return framed(func(*call) string { return strings.ReplaceAll(text, "\n", "\r\n") })
}

func seconds(unix int64) string { return strconv.FormatInt(unix, 10) }

func decode64(part string) []byte {
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		panic(err) // the forger wrote it
	}
	return data
}

// swap replaces text in JSON before it is signed, or in decoded bytes after that.
func swap(old, replacement string) func(string) string {
	return func(text string) string {
		if !strings.Contains(text, old) {
			panic(text + " has no " + old) // the row would test nothing
		}
		return strings.ReplaceAll(text, old, replacement)
	}
}

// bytesOf turns a change of text into a change of bytes.
func bytesOf(change func(string) string) func([]byte) []byte {
	return func(data []byte) []byte { return []byte(change(string(data))) }
}
