package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"example.com/micromachine/pkg/svcauth"
)

// A header is one header line of a request.
type header struct{ name, value string }

func (c *call) addHeader(line string) error {
	name, value, ok := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	switch {
	case !ok || value == "":
		return errors.New("not of the form NAME: VALUE")
	case !isToken(name):
		return fmt.Errorf("%q is not a header name", name)
	case strings.ContainsFunc(value, isControl):
		return errors.New("a control character in the value")
	}
	switch http.CanonicalHeaderKey(name) {
	case http.CanonicalHeaderKey(svcauth.Header):
		return fmt.Errorf("the command sets the header %s itself", svcauth.Header)
	case "Content-Length", "Transfer-Encoding", "Connection", "Trailer":
		return fmt.Errorf("%s is set by HTTP itself", name)
	}
	c.headers = append(c.headers, header{name, value})
	return nil
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2), such as a method or a header name.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
