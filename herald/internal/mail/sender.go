package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// A TLSMode is the way in which connections to the mail server are encrypted.
type TLSMode string

// The TLS modes. There is no opportunistic mode: an attacker who removes the offer of STARTTLS
// could then read all mail.
const (
	STARTTLS          TLSMode = "starttls"
	Implicit          TLSMode = "implicit"
	InsecurePlaintext TLSMode = "insecure-plaintext" // for tests with a server on the same machine
)

// A Config configures a [Sender].
type Config struct {
	// Addr is the address of the mail server, see [ParseAddr]. The server's certificate must be
	// valid for the host. Required.
	Addr string
	// TLS is the encryption mode. The default is STARTTLS.
	TLS TLSMode
	// Roots are the trusted certificate authorities. Nil selects those of the system.
	Roots *x509.CertPool
	// Username and Password are the credentials of the login. An empty Username disables the login.
	// Credentials are never sent over an unencrypted connection.
	Username, Password string
	// Auth is the mechanism of the login. The default is Auto.
	Auth Mechanism
	// From is the sender of all mails, see [ParseFrom]. Required.
	From string
	// Domain is Herald's own host name, used in EHLO and in each Message-ID, see [ParseDomain].
	// Required.
	Domain string
	// MaxConns is the maximum number of open connections. The default is 40.
	MaxConns int
	// DialTimeout limits the opening of a connection: TCP, TLS and login. The default is 10 s.
	DialTimeout time.Duration
	// SendTimeout limits the sending of one mail. The default is 15 s.
	SendTimeout time.Duration
	// IdleTimeout is how long an idle connection is kept open. The default is 30 s; servers often
	// close idle connections after a minute.
	IdleTimeout time.Duration
}

// A Sender sends mails over connections that it keeps open. It is safe for concurrent use.
type Sender struct {
	config  Config
	addr    string // host:port to dial
	host    string // the name in the certificate
	domain  string
	from    *mail.Address
	tls     *tls.Config
	limiter *limiter

	mu     sync.Mutex
	idle   []*connection // in the order of their last use
	closed bool
}

// NewSender returns a sender. It opens no connection. The error names a missing or invalid field.
func NewSender(config Config) (*Sender, error) {
	if err := checkTemplates(); err != nil {
		return nil, err
	}
	s := &Sender{config: withDefaults(config)}
	host, port, err := ParseAddr(config.Addr)
	if err != nil {
		return nil, err
	}
	if s.from, err = ParseFrom(config.From); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if s.domain, err = ParseDomain(config.Domain); err != nil {
		return nil, fmt.Errorf("domain: %w", err)
	}
	if !s.config.Auth.Valid() {
		return nil, fmt.Errorf("mail: login must be one of %v", Mechanisms())
	}
	switch s.config.TLS {
	case STARTTLS, Implicit:
	case InsecurePlaintext:
		if config.Username != "" {
			return nil, errors.New("mail: a login needs TLS")
		}
	default:
		return nil, fmt.Errorf("mail: unknown TLS mode %q", config.TLS)
	}
	s.addr = net.JoinHostPort(host, port)
	s.host, _, _ = strings.Cut(host, "%") // certificates contain no IPv6 zones
	s.tls = &tls.Config{ServerName: s.host, RootCAs: config.Roots, MinVersion: tls.VersionTLS12}
	s.limiter = newLimiter(s.config.MaxConns)
	return s, nil
}

func withDefaults(c Config) Config {
	c.TLS, c.Auth = cmp.Or(c.TLS, STARTTLS), cmp.Or(c.Auth, Auto)
	if c.MaxConns == 0 {
		c.MaxConns = 40
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.DialTimeout, 10 * time.Second}, {&c.SendTimeout, 15 * time.Second}, {&c.IdleTimeout, 30 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// Close closes the idle connections. Connections in use are closed when they are released.
func (s *Sender) Close() {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	var quits sync.WaitGroup
	for _, c := range idle {
		quits.Go(c.quit)
	}
	quits.Wait()
}

// Connect returns an idle or a new connection for a mail to a recipient's domain. It waits while
// MaxConns connections are in use. The error is an *Error, a *BusyError, or ctx's own, and nothing
// was sent.
func (s *Sender) Connect(ctx context.Context, domain string) (*Conn, error) {
	place, err := s.limiter.acquire(ctx, domain)
	if err != nil {
		return nil, fmt.Errorf("waiting for a connection to the mail server: %w", err)
	}
	if c := s.takeIdle(); c != nil {
		return &Conn{sender: s, place: place, connection: c, used: true}, nil
	}
	c, err := s.dial(ctx)
	if err != nil {
		s.limiter.release(place)
		return nil, err
	}
	return &Conn{sender: s, place: place, connection: c}, nil
}

// BusyFor reports whether half of the connections in use, or more, have been in use for one mail
// for d. The opening of a connection counts. It returns false when no connection is in use.
func (s *Sender) BusyFor(d time.Duration) bool { return s.limiter.busyFor(d) }

// takeIdle returns the most recently used idle connection, or nil.
func (s *Sender) takeIdle() *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropStale()
	if len(s.idle) == 0 {
		return nil
	}
	last := len(s.idle) - 1
	c := s.idle[last]
	s.idle = s.idle[:last]
	return c
}

// putIdle stores a connection for reuse. After Close it closes the connection.
func (s *Sender) putIdle(c *connection) {
	c.since = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.quit()
		return
	}
	s.dropStale()
	s.idle = append(s.idle, c)
}

// dropStale closes the connections that were idle for longer than IdleTimeout. The caller must hold
// s.mu.
func (s *Sender) dropStale() {
	for len(s.idle) > 0 && time.Since(s.idle[0].since) > s.config.IdleTimeout {
		s.idle[0].drop()
		s.idle = s.idle[1:]
	}
}

// newClient returns a go-mail client for one connection. It disables NOOP before and RSET after
// each mail, which would double the round trips; a closed connection is detected at MAIL FROM. dial
// returns an encrypted connection.
func (s *Sender) newClient(login *login, dial gomail.DialContextFunc) (*gomail.Client, error) {
	options := []gomail.Option{
		gomail.WithHELO(s.domain), gomail.WithDialContextFunc(dial), gomail.WithTLSPolicy(gomail.NoTLS),
		gomail.WithTimeout(max(s.config.DialTimeout, s.config.SendTimeout)), gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	if s.config.Username != "" {
		options = append(options, gomail.WithSMTPAuthCustom(login))
	}
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return nil, fmt.Errorf("preparing a connection to the mail server: %w", err)
	}
	return client, nil
}
