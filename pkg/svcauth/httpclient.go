package svcauth

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"
)

// An HTTPClientConfig says what [NewHTTPClient] needs to know. The zero value is usable.
type HTTPClientConfig struct {
	// CAFile names a PEM file of certificate authorities to trust beside the system's. Empty: none.
	CAFile string
	// ConnectTo sends connections for some hosts elsewhere, in the syntax of curl's --connect-to: a list, separated by
	// commas, of HOST1:PORT1:HOST2:PORT2. The first that fits counts. An empty HOST1 or PORT1 stands for any, an empty
	// HOST2 or PORT2 for the one that is called. An IPv6 address stands in brackets, with its zone, if it has one:
	// [fe80::1%eth0]. The certificate is still checked against the host that is called. Empty: none.
	ConnectTo string
}

// NewHTTPClient returns a client for calls between services: it verifies certificates, follows no redirect, gives up on
// a silent server, and keeps enough connections open for many calls at once. Callers bound a whole call by its context.
func NewHTTPClient(config HTTPClientConfig) (*http.Client, error) {
	roots, err := LoadRoots(config.CAFile)
	if err != nil {
		return nil, err
	}
	dial, err := connectTo(config.ConnectTo)
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

// LoadRoots returns the system's certificate authorities and those of a PEM file, for connections that [NewHTTPClient]
// does not make. It returns nil, which stands for the system's alone, when file is empty.
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
