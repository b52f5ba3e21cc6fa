// Package httpclient creates the HTTP client for calls between services. The client verifies
// certificates, can trust additional certificate authorities, and can connect to other addresses
// than those in the URLs.
package httpclient

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"
)

// A Config configures [New]. The zero value is usable.
type Config struct {
	// CAFile is a PEM file of certificate authorities to trust in addition to the system's. Empty:
	// none.
	CAFile string
	// ConnectTo redirects connections, in the syntax of curl's --connect-to: a comma-separated list
	// of HOST1:PORT1:HOST2:PORT2. A connection to HOST1:PORT1 goes to HOST2:PORT2 instead. The
	// first matching rule applies. An empty HOST1 or PORT1 matches any. An empty HOST2 or PORT2
	// keeps that of the URL. An IPv6 address is in brackets, with its zone, if any: [fe80::1%eth0].
	// The client still verifies the certificate against the host in the URL. Empty: no rules.
	ConnectTo string
}

// maxConns is the largest number of connections to a host, in use and idle. A limit of idle
// connections alone would make a busy client close and open connections all the time.
const maxConns = 128

// New returns a client for calls between services. It verifies certificates and follows no
// redirects. It opens up to 128 connections to each host; further requests wait for one. Its time
// limits are 3 s for connecting, 5 s for the TLS handshake and 10 s for the response headers. Only
// the request's context bounds the whole call. New returns an error for a CA file without
// certificates and for a malformed rule.
func New(config Config) (*http.Client, error) {
	roots, err := LoadRoots(config.CAFile)
	if err != nil {
		return nil, err
	}
	dial, err := newDial(config.ConnectTo)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    5 * time.Second,
			ResponseHeaderTimeout:  10 * time.Second,
			IdleConnTimeout:        90 * time.Second,
			MaxConnsPerHost:        maxConns,
			MaxIdleConnsPerHost:    maxConns,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}, nil
}

// LoadRoots returns the system's certificate authorities and those of a PEM file, for connections
// that the client of [New] does not make, such as SMTP. If file is empty, it returns nil, which
// means the system's authorities in a [tls.Config].
func LoadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // nil stands for the system's roots
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificate authorities: %w", err)
	}
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("reading CA file: no certificate in %s", file)
	}
	return roots, nil
}
