// Package smtptest is a mail server that catches what it is sent, for tests and demonstrations. It speaks real SMTP,
// with STARTTLS and AUTH where asked to, and fails where it is told to.
//
//	server, err := smtptest.Start(smtptest.Config{})
//	defer server.Close()
//	... // send to server.Addr()
//	mails, err := server.WaitFor(ctx, 1)
//
// A [Fault] makes it refuse, or drop the connection, at a chosen point of the conversation:
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

// A Config says what [Start] needs to know. The zero value is usable.
type Config struct {
	// Addr is the TCP address to listen on. The default is a free port on 127.0.0.1.
	Addr string
	// TLS makes the server offer STARTTLS, and take mail only over it. Nil: no TLS.
	TLS *tls.Config
	// Implicit makes a server with TLS speak it from the first byte, instead of offering STARTTLS.
	Implicit bool
	// Username and Password, where set, are asked for by AUTH PLAIN before any mail is taken.
	Username, Password string
	// Dir takes each mail as one .eml file, which appears complete. Its names sort in the order of arrival. Empty: none.
	Dir string
	// OnMail, where set, is called for each mail that is taken, before the client is told so. It may be called by
	// several goroutines at once.
	OnMail func(Mail)
	// OnStage, where set, is called at each stage of each conversation but AtConnect, with what is known of the mail,
	// before the server goes on. A fault that it returns strikes at once; its At and Times are of no effect. It may be
	// called by several goroutines at once.
	OnStage func(Stage, Mail) (Fault, bool)
}

// A Mail is what a client sent: the envelope, and the message as it was on the wire.
type Mail struct {
	From string
	To   []string
	Data []byte
}

// A Server takes mail until it is closed. It is safe for concurrent use.
type Server struct {
	config   Config
	listener net.Listener
	smtp     *smtp.Server

	mu      sync.Mutex
	mails   []Mail
	faults  []Fault
	closed  bool
	arrived chan struct{} // closed, and replaced, at each mail
}

// The bounds of a conversation. Clients keep connections open, so the time is generous.
const (
	maxMessageBytes = 10 << 20
	timeout         = 5 * time.Minute
)

// Start starts a server. Its address is in use until [Server.Close].
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
	s.smtp.ErrorLog = quiet{}
	s.smtp.AllowInsecureAuth = config.TLS == nil
	served := net.Listener(door{listener, s})
	if config.TLS != nil && config.Implicit {
		served = tls.NewListener(served, config.TLS)
	} else {
		s.smtp.TLSConfig = config.TLS
	}
	go func() { _ = s.smtp.Serve(served) }() // ends at Close, which has the error that matters
	return s, nil
}

// Addr is the address listened on, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Mails returns all mails taken so far, in the order of their arrival.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// WaitFor waits until at least n mails have been taken, and returns all.
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

// Close stops listening and drops all connections. No mail is taken, and no file is written, after it has returned.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.smtp.Close()
	// go-smtp does not know of the listener before its Serve has begun.
	if closeErr := s.listener.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	if err != nil {
		return fmt.Errorf("closing mail server: %w", err)
	}
	return nil
}

// take keeps a mail. A server that was closed meanwhile does not.
func (s *Server) take(m Mail) error {
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

// write writes a mail to Config.Dir under a name that ends in .eml only once the file is complete.
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

// quiet drops what go-smtp would log: a client that vanishes is everyday in tests.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}
