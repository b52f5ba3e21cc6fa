package svcauth

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
)

// A target is the resource that a request is for, as it was received, whatever routers and
// middleware have made of the request's URL since.
type target struct {
	path  string // as it was sent, percent-encoded
	query string // as it was sent, with its question mark
	ok    bool   // it is in a form in which it can be signed
}

// receivedTarget returns the target of the request line, or of HTTP/2's :path. Scheme and authority
// of the absolute form (RFC 9112 section 3.2.2) say no more than a Host header: they are not
// compared with anything. The asterisk form and the authority form name no resource. A request
// without RequestURI was never on a wire: it has its URL alone.
func receivedTarget(r *http.Request) target {
	if r.RequestURI == "" {
		return urlTarget(r.URL)
	}
	t := splitTarget(r.RequestURI)
	if strings.HasPrefix(t.path, "/") {
		t.ok = signablePath(t.path)
		return t
	}
	scheme, rest, _ := strings.Cut(r.RequestURI, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if scheme != "http" && scheme != "https" || authority == "" || strings.Contains(authority, "@") {
		return t
	}
	t = splitTarget(rest[end:])
	t.path = cmp.Or(t.path, "/")
	t.ok = signablePath(t.path)
	return t
}

// urlTarget returns the target of a URL that was not received.
func urlTarget(u *url.URL) target {
	t := splitTarget(u.RequestURI())
	t.ok = u.Opaque == "" && signablePath(t.path)
	return t
}

func splitTarget(text string) target {
	path, query, found := strings.Cut(text, "?")
	if found {
		query = text[len(path):]
	}
	return target{path: path, query: query}
}

// signablePath reports whether a path has no character that must be encoded (RFC 3986 section 3.3),
// so that it has one spelling, the one that was sent.
func signablePath(path string) bool {
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>\\^`{|}", c) >= 0 {
			return false
		}
	}
	return true
}
