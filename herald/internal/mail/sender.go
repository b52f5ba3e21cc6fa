package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// A TLSMode says how connections to the mail server are encrypted.
type TLSMode string

// The TLS modes. There is no opportunistic one: whoever can drop a server's offer
// of STARTTLS could read everything.
const (
	STARTTLS          TLSMode = "starttls"
	Implicit          TLSMode = "implicit"
	InsecurePlaintext TLSMode = "insecure-plaintext" // for a server on the same machine, in tests
)

// A Config says what a [Sender] needs to know.
type Config struct {
	// Addr is the mail server's host:port. The certificate must be for the
	// host. Required.
	Addr string
	// TLS is how to encrypt. The default is STARTTLS.
	TLS TLSMode
	// Roots are the certificate authorities to trust. Nil: the system's.
	Roots *x509.CertPool
	// Username and Password log in. Empty: no login. They are never sent over
	// a connection that is not encrypted.
	Username, Password string
	// From is the sender of all mails: "Herald <herald@example.com>". Required.
	From string
	// Domain is Herald's own name, said in EHLO and in each Message-ID. Required.
	Domain string
	// MaxConns bounds the connections open at once, 20 by default.
	MaxConns int
	// DialTimeout bounds the way from no connection to a usable one: TCP, TLS
	// and login. 10 s by default.
	DialTimeout time.Duration
	// SendTimeout bounds the conversation about one mail. 15 s by default.
	SendTimeout time.Duration
	// IdleTimeout is how long a connection is kept open unused, 30 s by
	// default; servers often give up after a minute.
	IdleTimeout time.Duration
}

// A Sender sends mails over connections that it keeps open. It is safe for
// concurrent use.
type Sender struct {
	config     Config
	host       string
	port       int
	from       mail.Address
	tls        *tls.Config
	permission chan struct{} // one for each connection that may be open

	mu     sync.Mutex
	idle   []*connection // the one used last is the last
	closed bool
}

// NewSender checks the config; a missing or impossible field is an error that
// names it. It connects to nobody yet.
func NewSender(config Config) (*Sender, error) {
	s := &Sender{config: withDefaults(config)}
	host, port, err := net.SplitHostPort(config.Addr)
	if err != nil || host == "" {
		return nil, fmt.Errorf("mail server %q: not of the form host:port", config.Addr)
	}
	if s.port, err = strconv.Atoi(port); err != nil || s.port < 1 || s.port > 65535 {
		return nil, fmt.Errorf("mail server %q: port must be a number", config.Addr)
	}
	from, err := mail.ParseAddress(config.From)
	if err != nil {
		return nil, fmt.Errorf("sender %q: not a mail address", config.From)
	}
	if config.Domain == "" {
		return nil, errors.New("mail: no domain")
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
	s.host, s.from = host, *from
	s.tls = &tls.Config{ServerName: host, RootCAs: config.Roots, MinVersion: tls.VersionTLS12}
	s.permission = make(chan struct{}, s.config.MaxConns)
	return s, nil
}

func withDefaults(c Config) Config {
	if c.TLS == "" {
		c.TLS = STARTTLS
	}
	if c.MaxConns == 0 {
		c.MaxConns = 20
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

// Close closes the connections that nobody is using, and lets no other be kept.
func (s *Sender) Close() {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, c := range idle {
		c.quit()
	}
}

// Connect takes a connection that is open, or opens one; where all that may be
// open are in use it waits. Its error is an *Error, or ctx's own. Nothing has
// been sent when it fails.
func (s *Sender) Connect(ctx context.Context) (*Conn, error) {
	select {
	case s.permission <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a connection to the mail server: %w", ctx.Err())
	}
	if c := s.takeIdle(); c != nil {
		return &Conn{sender: s, connection: c, used: true}, nil
	}
	c, err := s.dial(ctx)
	if err != nil {
		<-s.permission
		return nil, err
	}
	return &Conn{sender: s, connection: c}, nil
}

// takeIdle takes the connection that was used last, if there is one.
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

// keep takes a connection back, for the next one to use it.
func (s *Sender) keep(c *connection) {
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

// dropStale drops the connections that the mail server is likely to have closed,
// or to close soon.
func (s *Sender) dropStale() {
	for len(s.idle) > 0 && time.Since(s.idle[0].since) > s.config.IdleTimeout {
		s.idle[0].drop()
		s.idle = s.idle[1:]
	}
}

// newClient makes a go-mail client for one connection, over which it sends what
// it has to send. NOOP before and RSET after each mail would double the round
// trips; a connection that has ended is noticed at MAIL FROM.
func (s *Sender) newClient(dial gomail.DialContextFunc) (*gomail.Client, error) {
	options := []gomail.Option{
		gomail.WithPort(s.port), gomail.WithHELO(s.config.Domain), gomail.WithDialContextFunc(dial),
		gomail.WithTimeout(max(s.config.DialTimeout, s.config.SendTimeout)), gomail.WithTLSConfig(s.tls),
		gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	if s.config.TLS == STARTTLS {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.config.Username != "" {
		options = append(options, gomail.WithUsername(s.config.Username), gomail.WithPassword(s.config.Password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return nil, fmt.Errorf("preparing a connection to the mail server: %w", err)
	}
	return client, nil
}
