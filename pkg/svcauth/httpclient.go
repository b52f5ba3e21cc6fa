package svcauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// An HTTPClientConfig says what [NewHTTPClient] needs to know. The zero value is usable.
type HTTPClientConfig struct {
	// CAFile names a PEM file of certificate authorities to trust beside the system's. Empty: none.
	CAFile string
	// ConnectTo sends connections for some hosts elsewhere, in the syntax of curl's --connect-to: a list, separated by
	// commas, of HOST1:PORT1:HOST2:PORT2. The certificate is still checked against HOST1. Empty: none.
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

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// connectTo returns a dial function that sends some addresses elsewhere.
func connectTo(rules string) (dialFunc, error) {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	if rules == "" {
		return dialer.DialContext, nil
	}
	elsewhere := map[string]string{}
	for rule := range strings.SplitSeq(rules, ",") {
		parts := strings.Split(strings.TrimSpace(rule), ":")
		if len(parts) != 4 || parts[0] == "" || parts[1] == "" || parts[2] == "" || parts[3] == "" {
			return nil, fmt.Errorf("connecting elsewhere: %q is not of the form HOST1:PORT1:HOST2:PORT2", rule)
		}
		elsewhere[net.JoinHostPort(parts[0], parts[1])] = net.JoinHostPort(parts[2], parts[3])
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if other, ok := elsewhere[address]; ok {
			address = other
		}
		return dialer.DialContext(ctx, network, address)
	}, nil
}
