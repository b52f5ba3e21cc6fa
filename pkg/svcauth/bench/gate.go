package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"example.com/micromachine/pkg/svcauth"
)

// tokenKey is the token's header as net/http spells it in a request that it has read.
var tokenKey = http.CanonicalHeaderKey(svcauth.Header)

// A gate is svcauth's whole check before one request, which comes with another token each time. Like the request it is
// for one goroutine at a time.
type gate struct {
	verifier *svcauth.Verifier
	request  *http.Request
}

func newGate(verifier *svcauth.Verifier, target string) (*gate, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("parsing URL: %w", err)
	}
	// Read from the wire, so that it is what a server sees.
	wire := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	return &gate{verifier: verifier, request: r}, nil
}

// check verifies the request with the one token of the slice.
func (g *gate) check(token []string) error {
	g.request.Header[tokenKey] = token
	return g.admit()
}

// admit is the one call of the verifier.
func (g *gate) admit() error {
	_, err := g.verifier.Verify(g.request, 0)
	return err
}
