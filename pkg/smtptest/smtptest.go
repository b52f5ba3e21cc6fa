// Package smtptest provides a mail server for tests and demonstrations. It stores the mails that it
// receives. It speaks SMTP, with optional STARTTLS and AUTH, and fails on request.
//
//	server, err := smtptest.Start(smtptest.Config{})
//	defer server.Close()
//	... // send to server.Addr()
//	mails, err := server.WaitFor(ctx, 1)
//
// A [Fault] makes it refuse a command or close the connection at one stage of the conversation:
//
//	server.Fail(smtptest.Fault{At: smtptest.AtRcpt, Code: 550, Times: 1})
package smtptest

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// A Config configures [Start]. The zero value is usable.
type Config struct {
	// Addr is the TCP address to listen on. Empty: a free port of 127.0.0.1.
	Addr string
	// TLS makes the server offer STARTTLS and accept mail only over TLS. Nil: no TLS.
	TLS *tls.Config
	// Implicit makes a server with TLS use TLS from the first byte instead of STARTTLS.
	Implicit bool
	// Username and Password, if set, are required with AUTH PLAIN.
	Username, Password string
	// Dir is a directory to which each mail is written as one .eml file. The files appear complete,
	// and their names sort in the order of arrival. Empty: none.
	Dir string
	// OnMail, if set, is called with each accepted mail before the reply to the client. It may be
	// called concurrently.
	OnMail func(Mail)
	// OnStage, if set, is called at each stage except AtConnect, with what is known of the mail.
	// The server waits until it returns. A returned fault occurs at this stage; its At and Times
	// are ignored. OnStage may be called concurrently.
	OnStage func(Stage, Mail) (Fault, bool)
}

// A Mail is a mail as the client sent it: the envelope and the message.
type Mail struct {
	From string
	To   []string
	Data []byte
}

// A Server accepts mail until it is closed. It is safe for concurrent use.
type Server struct {
	config   Config
	listener net.Listener
	smtp     *smtp.Server

	mu      sync.Mutex
	mails   []Mail
	faults  []Fault
	closed  bool
	arrived chan struct{} // closed and replaced when a mail arrives
}

// The limits of a conversation. The timeout is long because clients keep connections open.
const (
	maxMessageBytes = 10 << 20
	timeout         = 5 * time.Minute
)

// Start starts a server. The server uses its address until [Server.Close].
func Start(config Config) (*Server, error) {
	listener, err := net.Listen("tcp", cmp.Or(config.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("starting mail server: %w", err)
	}
	s := &Server{config: config, listener: listener, arrived: make(chan struct{})}
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.smtp.Domain = "smtptest"
	s.smtp.MaxMessageBytes = maxMessageBytes
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = timeout, timeout
	s.smtp.ErrorLog = discardLogger{}
	s.smtp.AllowInsecureAuth = config.TLS == nil
	served := net.Listener(faultyListener{listener, s})
	if config.TLS != nil && config.Implicit {
		served = tls.NewListener(served, config.TLS)
	} else {
		s.smtp.TLSConfig = config.TLS
	}
	go func() { _ = s.smtp.Serve(served) }() // returns after Close, which returns the errors that matter
	return s, nil
}

// Addr returns the address of the server, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Mails returns all accepted mails in the order of arrival.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// WaitFor waits until at least n mails are accepted and returns all of them.
func (s *Server) WaitFor(ctx context.Context, n int) ([]Mail, error) {
	for {
		s.mu.Lock()
		mails, arrived := slices.Clone(s.mails), s.arrived
		s.mu.Unlock()
		if len(mails) >= n {
			return mails, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return mails, fmt.Errorf("waiting for %d mails, have %d: %w", n, len(mails), ctx.Err())
		}
	}
}

// Close stops listening and closes all connections. After it returns, the server accepts no mail
// and writes no file.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.smtp.Close()
	// go-smtp does not close a listener on which Serve has not started.
	if closeErr := s.listener.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	if err != nil {
		return fmt.Errorf("closing mail server: %w", err)
	}
	return nil
}

// accept stores a mail. It returns an error reply when the server is closed.
func (s *Server) accept(m Mail) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return reply(421, "closing down")
	}
	if err := s.write(m); err != nil {
		return reply(451, err.Error())
	}
	s.mails = append(s.mails, m)
	close(s.arrived)
	s.arrived = make(chan struct{})
	return nil
}

// write writes a mail to Config.Dir. The file gets its name with .eml when it is complete.
func (s *Server) write(m Mail) error {
	if s.config.Dir == "" {
		return nil
	}
	part, err := os.CreateTemp(s.config.Dir, time.Now().UTC().Format("20060102T150405.000000000")+"-*.part")
	if err != nil {
		return fmt.Errorf("writing mail: %w", err)
	}
	_, err = part.Write(m.Data)
	if closeErr := part.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(part.Name(), strings.TrimSuffix(part.Name(), ".part")+".eml")
	}
	if err != nil {
		return fmt.Errorf("writing mail: %w", err)
	}
	return nil
}

// A discardLogger discards the log of go-smtp. Clients that disconnect are normal in tests.
type discardLogger struct{}

func (discardLogger) Printf(string, ...any) {}
func (discardLogger) Println(...any)        {}
