package main

import (
	"net/url"
	"strings"
)

// parseTarget parses the URL of a request and returns it in the form in which it is signed and
// sent.
func parseTarget(raw string) (*url.URL, error) {
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, usagef("the URL %q has characters that must be percent-encoded", raw)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, usagef("parsing URL: %v", err)
	}
	if u.Scheme != "https" || u.Host == "" {
		return nil, usagef("%q is not an https URL", raw)
	}
	u.Host = strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}
