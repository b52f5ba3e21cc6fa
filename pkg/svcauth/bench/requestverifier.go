package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"example.com/micromachine/pkg/svcauth"
)

// tokenKey is the header of the token in the canonical form of net/http.
var tokenKey = http.CanonicalHeaderKey(svcauth.Header)

// A requestVerifier verifies one request repeatedly with different tokens. It is not safe for
// concurrent use.
type requestVerifier struct {
	verifier *svcauth.Verifier
	request  *http.Request
}

func newRequestVerifier(verifier *svcauth.Verifier, target string) (*requestVerifier, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("parsing URL: %w", err)
	}
	// The request is parsed from its wire form, so that it equals the one that a server gets.
	wire := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	return &requestVerifier{verifier: verifier, request: r}, nil
}

// check verifies the request with the only token in the slice.
func (v *requestVerifier) check(token []string) error {
	v.request.Header[tokenKey] = token
	return v.verify()
}

// verify calls the verifier.
func (v *requestVerifier) verify() error {
	_, err := v.verifier.Verify(v.request, 0)
	return err
}
