package smtptest

import (
	"fmt"
	"io"
	"net"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A Stage is a point of the conversation at which a [Fault] strikes.
type Stage int

// The stages, in their order.
const (
	AtConnect Stage = iota + 1 // in place of the greeting; the connection is closed
	AtHello                    // EHLO
	AtMail                     // MAIL FROM
	AtRcpt                     // RCPT TO
	AtBody                     // the client may send the message, which is not read; the connection drops whatever Code is
	AtData                     // the final dot has come, and the mail is not taken
	AtReply                    // the mail is taken, but the client is not told so
	AtEnd                      // the mail is taken and the client told so; Code is of no effect, the connection drops
)

// A Fault is something that goes wrong.
type Fault struct {
	// At is where.
	At Stage
	// Code is the reply, such as 451 or 550. Zero: no reply, the connection is dropped.
	Code int
	// Times is how often it happens. Zero: until [Server.Recover].
	Times int
}

// Fail makes the server fail from now on, in addition to faults set before.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// Recover ends all faults.
func (s *Server) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault returns the fault to strike at a stage, if there is one, and counts it.
func (s *Server) fault(at Stage) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.At != at {
			continue
		}
		switch f.Times {
		case 0:
		case 1:
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		default:
			s.faults[i].Times--
		}
		return f, true
	}
	return Fault{}, false
}

// reply makes an SMTP reply that refuses.
func reply(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: text}
}

// A session is one client's conversation.
type session struct {
	server        *Server
	conn          *smtp.Conn
	authenticated bool
	taken         bool // the client is about to have its reply
	mail          Mail
}

// at calls Config.OnStage, and returns the fault to strike, which may also be one of Fail.
func (s *session) at(stage Stage) (Fault, bool) {
	if hook := s.server.config.OnStage; hook != nil {
		if f, ok := hook(stage, s.mail); ok {
			return f, true
		}
	}
	return s.server.fault(stage)
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	session := &session{server: s, conn: c}
	if err := session.strike(AtHello, "not now"); err != nil {
		return nil, err
	}
	return session, nil
}

// A door lets in no one while the fault AtConnect is set.
type door struct {
	net.Listener
	server *Server
}

// Accept implements [net.Listener].
func (d door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		f, ok := d.server.fault(AtConnect)
		if !ok {
			return conn, nil
		}
		if f.Code != 0 {
			fmt.Fprintf(conn, "%d not now\r\n", f.Code)
		}
		_ = conn.Close() // that is the fault
	}
}

// strike lets the fault of a stage happen. Its text names the recipient, as those of real servers do.
func (s *session) strike(at Stage, text string) error {
	f, ok := s.at(at)
	if !ok {
		return nil
	}
	if f.Code == 0 {
		_ = s.conn.Conn().Close() // that is the fault
		return reply(421, "dropped")
	}
	return reply(f.Code, text)
}

// AuthMechanisms implements [smtp.AuthSession].
func (s *session) AuthMechanisms() []string {
	if s.server.config.Username == "" {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth implements [smtp.AuthSession].
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != s.server.config.Username || password != s.server.config.Password {
			return smtp.ErrAuthFailed
		}
		s.authenticated = true
		return nil
	}), nil
}

// Mail implements [smtp.Session].
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if _, encrypted := s.conn.TLSConnectionState(); !encrypted && s.server.config.TLS != nil {
		return reply(530, "STARTTLS comes first")
	}
	if s.server.config.Username != "" && !s.authenticated {
		return smtp.ErrAuthRequired
	}
	if err := s.strike(AtMail, fmt.Sprintf("<%s> may not send", from)); err != nil {
		return err
	}
	s.mail = Mail{From: from}
	return nil
}

// Rcpt implements [smtp.Session].
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.strike(AtRcpt, fmt.Sprintf("<%s> is not known here", to)); err != nil {
		return err
	}
	s.mail.To = append(s.mail.To, to)
	return nil
}

// Data implements [smtp.Session].
func (s *session) Data(r io.Reader) (err error) {
	if _, ok := s.at(AtBody); ok {
		_ = s.conn.Conn().Close() // that is the fault
		return reply(421, "dropped")
	}
	if s.mail.Data, err = io.ReadAll(r); err != nil {
		return fmt.Errorf("reading mail: %w", err)
	}
	refusal := fmt.Sprintf("not taken for %v", s.mail.To)
	if err := s.strike(AtData, refusal); err != nil {
		return err
	}
	if err := s.server.take(s.mail); err != nil {
		return err
	}
	if s.server.config.OnMail != nil {
		s.server.config.OnMail(s.mail)
	}
	if err := s.strike(AtReply, refusal); err != nil {
		return err
	}
	s.taken = true
	return nil
}

// Reset implements [smtp.Session]. After DATA it is called as soon as the reply is on its way.
func (s *session) Reset() {
	if s.taken {
		s.taken = false
		if _, ok := s.at(AtEnd); ok {
			_ = s.conn.Conn().Close() // that is the fault
		}
	}
	s.mail = Mail{}
}

// Logout implements [smtp.Session].
func (s *session) Logout() error { return nil }
