// Package httpclient makes the HTTP client with which services call each other: it verifies
// certificates, also against authorities of a file, and can connect to other addresses than those
// of the URLs.
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
	// CAFile names a PEM file of certificate authorities to trust beside the system's. Empty: none.
	CAFile string
	// ConnectTo connects to other addresses than those of the URLs, in the syntax of curl's
	// --connect-to: a list, separated by commas, of HOST1:PORT1:HOST2:PORT2. A connection for
	// HOST1:PORT1 goes to HOST2:PORT2. The first rule that matches applies. An empty HOST1 or PORT1
	// matches any, an empty HOST2 or PORT2 stands for that of the URL. An IPv6 address is in
	// brackets, with its zone, if it has one: [fe80::1%eth0]. The certificate is still verified
	// against the host of the URL. Empty: no rules.
	ConnectTo string
}

// New returns a client for calls between services. It verifies certificates, follows no redirect
// and keeps up to 128 idle connections for each host. It fails after 3 s without a connection, 5 s
// without the end of the TLS handshake and 10 s without response headers; the whole of a call is
// bounded by the context of its request alone. A CA file that cannot be used and a malformed rule
// are errors.
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
			MaxIdleConnsPerHost:    128,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}, nil
}

// LoadRoots returns the system's certificate authorities and those of a PEM file, for connections
// that are not made by the client of [New], such as SMTP's. When file is empty it returns nil,
// which [tls.Config] takes for the system's authorities.
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
