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
	// Addr is the mail server's address, see [ParseAddr]. The certificate must
	// be for the host. Required.
	Addr string
	// TLS is how to encrypt. The default is STARTTLS.
	TLS TLSMode
	// Roots are the certificate authorities to trust. Nil: the system's.
	Roots *x509.CertPool
	// Username and Password log in. Empty: no login. They are never sent over
	// a connection that is not encrypted.
	Username, Password string
	// Auth is the mechanism to log in by. The default is Auto.
	Auth Mechanism
	// From is the sender of all mails, see [ParseFrom]. Required.
	From string
	// Domain is Herald's own host, said in EHLO and in each Message-ID, see
	// [ParseDomain]. Required.
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
	config Config
	addr   string // to dial
	host   string // to find in the certificate
	domain string
	from   *mail.Address
	tls    *tls.Config
	share  *share

	mu     sync.Mutex
	idle   []*connection // the one used last is the last
	closed bool
}

// NewSender checks the config; a missing or impossible field is an error that
// names it. It connects to nobody yet.
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
	s.host, _, _ = strings.Cut(host, "%") // a zone is in no certificate
	s.tls = &tls.Config{ServerName: s.host, RootCAs: config.Roots, MinVersion: tls.VersionTLS12}
	s.share = newShare(s.config.MaxConns)
	return s, nil
}

func withDefaults(c Config) Config {
	c.TLS, c.Auth = cmp.Or(c.TLS, STARTTLS), cmp.Or(c.Auth, Auto)
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
	var quits sync.WaitGroup
	for _, c := range idle {
		quits.Go(c.quit)
	}
	quits.Wait()
}

// Connect takes a connection that is open, or opens one, for a mail to a recipient's domain; where
// all that may be open are in use it waits. Its error is an *Error, a *BusyError, or ctx's own.
// Nothing has been sent when it fails.
func (s *Sender) Connect(ctx context.Context, domain string) (*Conn, error) {
	if err := s.share.acquire(ctx, domain); err != nil {
		return nil, fmt.Errorf("waiting for a connection to the mail server: %w", err)
	}
	if c := s.takeIdle(); c != nil {
		return &Conn{sender: s, domain: domain, connection: c, used: true}, nil
	}
	c, err := s.dial(ctx)
	if err != nil {
		s.share.release(domain)
		return nil, err
	}
	return &Conn{sender: s, domain: domain, connection: c}, nil
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
// trips; a connection that has ended is noticed at MAIL FROM. The connection that
// dial returns is encrypted already.
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
