package smtptest

import (
	"fmt"
	"io"
	"net"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A Stage is a point of the conversation at which a [Fault] occurs.
type Stage int

// The stages, in order.
const (
	AtConnect Stage = iota + 1 // instead of the greeting; the server then closes the connection
	AtHello                    // EHLO
	AtMail                     // MAIL FROM
	AtRcpt                     // RCPT TO
	AtBody                     // after the reply to DATA; Code is ignored, the connection is closed
	AtData                     // after the final dot; the mail is not accepted
	AtReply                    // after the mail is accepted, instead of the reply
	AtEnd                      // after the reply to an accepted mail; Code is ignored, the connection is closed
)

// A Fault is a failure at one stage.
type Fault struct {
	// At is the stage.
	At Stage
	// Code is the code of the reply, such as 451 or 550. Zero: the connection is closed without a
	// reply.
	Code int
	// Times is the number of occurrences. Zero: unlimited, until [Server.Recover].
	Times int
}

// Fail adds a fault to those already set.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// Recover removes all faults.
func (s *Server) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault returns the first fault set for a stage, if any, and counts the occurrence.
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

// reply returns an SMTP error reply.
func reply(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: text}
}

// A session is the conversation with one client.
type session struct {
	server        *Server
	conn          *smtp.Conn
	authenticated bool
	accepted      bool // the mail is accepted and the reply is sent next
	mail          Mail
}

// faultAt returns the fault for a stage, if any, from Config.OnStage or else from Fail.
func (s *session) faultAt(stage Stage) (Fault, bool) {
	if hook := s.server.config.OnStage; hook != nil {
		if f, ok := hook(stage, s.mail); ok {
			return f, true
		}
	}
	return s.server.fault(stage)
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	session := &session{server: s, conn: c}
	if err := session.applyFault(AtHello, "not now"); err != nil {
		return nil, err
	}
	return session, nil
}

// A faultyListener closes new connections while a fault AtConnect is set.
type faultyListener struct {
	net.Listener
	server *Server
}

// Accept implements [net.Listener].
func (l faultyListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		f, ok := l.server.fault(AtConnect)
		if !ok {
			return conn, nil
		}
		if f.Code != 0 {
			fmt.Fprintf(conn, "%d not now\r\n", f.Code)
		}
		_ = conn.Close() // this is the fault
	}
}

// applyFault returns the error reply of a stage's fault, if any, or closes the connection. The text
// of the reply contains the recipient, as that of real servers does.
func (s *session) applyFault(at Stage, text string) error {
	f, ok := s.faultAt(at)
	if !ok {
		return nil
	}
	if f.Code == 0 {
		_ = s.conn.Conn().Close() // this is the fault
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
	if err := s.applyFault(AtMail, fmt.Sprintf("<%s> may not send", from)); err != nil {
		return err
	}
	s.mail = Mail{From: from}
	return nil
}

// Rcpt implements [smtp.Session].
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.applyFault(AtRcpt, fmt.Sprintf("<%s> is not known here", to)); err != nil {
		return err
	}
	s.mail.To = append(s.mail.To, to)
	return nil
}

// Data implements [smtp.Session].
func (s *session) Data(r io.Reader) (err error) {
	if _, ok := s.faultAt(AtBody); ok {
		_ = s.conn.Conn().Close() // this is the fault
		return reply(421, "dropped")
	}
	if s.mail.Data, err = io.ReadAll(r); err != nil {
		return fmt.Errorf("reading mail: %w", err)
	}
	refusal := fmt.Sprintf("not accepted for %v", s.mail.To)
	if err := s.applyFault(AtData, refusal); err != nil {
		return err
	}
	if err := s.server.accept(s.mail); err != nil {
		return err
	}
	if s.server.config.OnMail != nil {
		s.server.config.OnMail(s.mail)
	}
	if err := s.applyFault(AtReply, refusal); err != nil {
		return err
	}
	s.accepted = true
	return nil
}

// Reset implements [smtp.Session]. go-smtp also calls it after DATA, right after the reply is sent.
func (s *session) Reset() {
	if s.accepted {
		s.accepted = false
		if _, ok := s.faultAt(AtEnd); ok {
			_ = s.conn.Conn().Close() // this is the fault
		}
	}
	s.mail = Mail{}
}

// Logout implements [smtp.Session].
func (s *session) Logout() error { return nil }
