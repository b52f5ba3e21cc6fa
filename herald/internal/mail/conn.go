package mail

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// A Conn is a connection to the mail server that its holder alone uses, until it
// is released.
type Conn struct {
	sender     *Sender
	domain     string      // that it is shared for
	connection *connection // nil once it is of no more use
	used       bool        // by others before: the mail server may have closed it
}

// A connection is go-mail's client with its connection, which go-mail itself
// would neither close when a dial fails half-way, nor tie to a context.
type connection struct {
	client *gomail.Client
	smtp   *smtp.Client // client's, which does not show it
	raw    net.Conn
	since  time.Time // when it was last used
}

// Release gives the connection back. It must be called exactly once.
func (c *Conn) Release() {
	if c.connection != nil {
		c.sender.keep(c.connection)
	}
	c.sender.share.release(c.domain)
}

// Send sends a message. Its error is an *Error, which says whether it is final
// and whether the mail may have been sent all the same. When ctx ends before the
// mail server has answered, the connection is dropped.
//
// A connection that the mail server had closed meanwhile is replaced by a new one
// here: that it did so says nothing about the message.
func (c *Conn) Send(ctx context.Context, m *Message) error {
	err := c.try(ctx, m)
	if err == nil || !c.used || !err.stale || ctx.Err() != nil {
		return asError(err)
	}
	fresh, dialErr := c.sender.dial(ctx)
	if dialErr != nil {
		return dialErr
	}
	c.connection, c.used = fresh, false
	return asError(c.try(ctx, m))
}

// try sends a message over the connection as it is, and drops the connection
// unless all went well.
func (c *Conn) try(ctx context.Context, m *Message) *Error {
	if err := c.prepare(m); err != nil {
		return err
	}
	message := c.sender.message(m)
	ctx, cancel := context.WithTimeout(ctx, c.sender.config.SendTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, c.connection.drop)
	err := c.connection.client.SendWithSMTPClient(c.connection.smtp, message)
	if stop() && err == nil {
		return nil
	}
	c.connection.drop()
	c.connection = nil
	if message.IsDelivered() {
		return nil // whatever went wrong afterwards
	}
	return sendError(err)
}

// prepare asks for SMTPUTF8 if the message needs it, and not otherwise: there are servers that
// refuse it to ordinary mail.
func (c *Conn) prepare(m *Message) *Error {
	needed := strings.ContainsFunc(m.To.Address, func(r rune) bool { return r > unicode.MaxASCII })
	if offered, _ := c.connection.smtp.Extension("SMTPUTF8"); needed && !offered {
		return &Error{Permanent: true, Detail: "the recipient's address needs SMTPUTF8, which the mail server does not offer"}
	}
	c.connection.smtp.SkipSMTPUTF8(!needed)
	return nil
}

// message is what go-mail needs. No value here can break out of its header:
// addresses are structured, and the rest is ours.
func (s *Sender) message(m *Message) *gomail.Msg {
	message := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	message.FromMailAddress(s.from)
	message.ToMailAddress(&m.To)
	message.Subject(m.Subject)
	message.SetMessageIDWithValue(m.ID + "@" + s.domain)
	message.SetDateWithValue(m.Date)
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: answer with no out-of-office mail
	message.SetBodyString(gomail.TypeTextPlain, m.Text)
	message.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return message
}

// dial opens a connection, encrypts it and logs in.
func (s *Sender) dial(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.DialTimeout)
	defer cancel()
	c := &connection{}
	stop := func() bool { return true }
	login := &login{mechanism: s.config.Auth, username: s.config.Username, password: s.config.Password}
	client, err := s.newClient(login, func(dialCtx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(dialCtx, "tcp", s.addr)
		if err != nil {
			return nil, err
		}
		// dialCtx ends with the dial; from there on go-mail heeds no context.
		c.raw, stop = conn, context.AfterFunc(ctx, func() { _ = conn.Close() })
		return s.encrypt(conn)
	})
	if err != nil {
		return nil, dialError(err, login)
	}
	c.client = client
	c.smtp, err = client.DialToSMTPClientWithContext(ctx)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.drop()
		return nil, dialError(err, login)
	}
	return c, nil
}

// encrypt returns what go-mail is to talk over, which starts with a greeting.
func (s *Sender) encrypt(conn net.Conn) (net.Conn, error) {
	switch s.config.TLS {
	case Implicit:
		return newReplyConn(tls.Client(conn, s.tls)), nil
	case STARTTLS:
		if err := s.startTLS(conn); err != nil {
			return nil, err
		}
		encrypted := newReplyConn(tls.Client(conn, s.tls))
		encrypted.unread = []byte("220 " + s.host + "\r\n") // the server's came before
		return encrypted, nil
	default:
		return newReplyConn(conn), nil
	}
}

// startTLS holds the conversation that comes before TLS. go-mail can do so too, but would then read
// the replies over TLS past replyConn.
func (s *Sender) startTLS(conn net.Conn) error {
	client, err := smtp.NewClient(newReplyConn(conn), s.host)
	if err != nil {
		return err
	}
	if err := client.Hello(s.domain); err != nil {
		return err
	}
	if offered, _ := client.Extension("STARTTLS"); !offered {
		return &Error{Detail: "the mail server does not offer STARTTLS"}
	}
	if err := client.Text.PrintfLine("STARTTLS"); err != nil {
		return err
	}
	_, _, err = client.Text.ReadResponse(220)
	return err
}

// drop closes the connection without a word.
func (c *connection) drop() {
	if c.raw != nil {
		_ = c.raw.Close() // it is of no more use either way
	}
}

// quit says goodbye and closes the connection.
func (c *connection) quit() {
	_ = c.raw.SetDeadline(time.Now().Add(time.Second)) // Close tells
	_ = c.client.CloseWithSMTPClient(c.smtp)           // a server that does not answer has nothing to lose
	c.drop()
}
