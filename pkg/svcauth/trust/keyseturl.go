package trust

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
)

var errNoKeySetURL = errors.New("not an https URL")

// canonicalURL returns the canonical spelling of a key set's URL (RFC 3986 section 6.2, RFC 9110
// section 4.2.3). Two URLs of the same resource have the same one.
func canonicalURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return "", errNoKeySetURL
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if strings.ContainsFunc(host, func(r rune) bool { return r > '~' }) {
		return "", errors.New("not an https URL whose host is in ASCII, such as xn--bcher-kva.example")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	port := strings.TrimLeft(u.Port(), "0")
	if port == "" {
		port = "443"
	}
	u.Host = net.JoinHostPort(host, port)
	if err := canonicalPath(u); err != nil {
		return "", errNoKeySetURL
	}
	if u.RawQuery, u.ForceQuery = canonicalPercents(u.RawQuery), false; u.Path == "" {
		u.Path = "/"
	}
	return u.String(), nil
}

// canonicalPath removes dot segments from the path of u, and needless percent-encoding.
func canonicalPath(u *url.URL) error {
	escaped := canonicalPercents(u.EscapedPath())
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return err
	}
	u.Path, u.RawPath = path, escaped
	*u = *(&url.URL{}).ResolveReference(u) // removes dot segments
	return nil
}

// canonicalPercents decodes the percent-encoded unreserved characters of s and writes the others in
// capitals (RFC 3986 sections 2.3 and 6.2.2).
func canonicalPercents(s string) string {
	const unreserved = serviceurl.Unreserved
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			out.WriteByte(s[i])
			continue
		}
		code := strings.ToUpper(s[i : i+3])
		if char, err := url.PathUnescape(code); err == nil && strings.Contains(unreserved, char) {
			code = char
		}
		out.WriteString(code)
		i += 2
	}
	return out.String()
}
