package stack

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"

	"example.com/micromachine/pkg/smtptest"
)

// A Mail is a mail server. It can be stopped and started again at the same address. It is not safe
// for concurrent use.
type Mail struct {
	Addr   string // host:port, with the host name of the certificate
	config smtptest.Config
	server *smtptest.Server
}

func newMail(addr, certFile, keyFile, dir string) (*Mail, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the mail directory: %w", err)
	}
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("loading the mail server's certificate: %w", err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return &Mail{
		Addr: net.JoinHostPort("localhost", port),
		config: smtptest.Config{
			Addr: addr, Dir: dir, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		},
	}, nil
}

// Start starts the server, unless it is running.
func (m *Mail) Start() (err error) {
	if m.server != nil {
		return nil
	}
	m.server, err = smtptest.Start(m.config)
	return err
}

// Stop stops the server. New connections are refused.
func (m *Mail) Stop() error {
	if m.server == nil {
		return nil
	}
	server := m.server
	m.server = nil
	return server.Close()
}
