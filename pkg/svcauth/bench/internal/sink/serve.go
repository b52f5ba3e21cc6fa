// Package sink is the mail server of the measurements. It is a separate process whose CPU time is
// the same for all sides. It reports each accepted mail on its standard output.
package sink

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Serve accepts mails at an address until the standard input ends. It waits for delay before it
// replies to the final dot of a mail.
func Serve(addr string, delay time.Duration) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := smtp.NewServer(&backend{delay: delay, out: bufio.NewWriter(os.Stdout)})
	server.Domain = "sink"
	server.MaxMessageBytes = 1 << 20
	server.ErrorLog = discardLogger{}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
		_ = listener.Close() // needed if Serve has not started
	}()
	if err := server.Serve(listener); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// A backend creates sessions and reports their mails.
type backend struct {
	delay time.Duration

	mu  sync.Mutex
	out *bufio.Writer
}

// NewSession implements [smtp.Backend].
func (b *backend) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{backend: b}, nil }

// report writes a line for a mail: the number in the recipient's address and the time of
// acceptance.
func (b *backend) report(recipient string) error {
	name, _, _ := strings.Cut(recipient, "@")
	user, err := strconv.Atoi(strings.TrimPrefix(name, "user"))
	if err != nil {
		return fmt.Errorf("recipient is not one of the users: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(b.out, "%d %d\n", user, time.Now().UnixNano())
	return b.out.Flush()
}

type session struct {
	backend   *backend
	recipient string
}

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.recipient = to
	return nil
}

// Data accepts a mail with a text part, an HTML part and the recipient of the envelope.
func (s *session) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return fmt.Errorf("reading mail: %w", err)
	}
	if _, err := io.Copy(io.Discard, m.Body); err != nil {
		return fmt.Errorf("reading mail: %w", err)
	}
	if !strings.HasPrefix(m.Header.Get("Content-Type"), "multipart/alternative") {
		return errors.New("the mail does not have a text part and an HTML part")
	}
	if !strings.Contains(m.Header.Get("To"), s.recipient) {
		return errors.New("the To header does not contain the recipient")
	}
	<-time.After(s.backend.delay)
	return s.backend.report(s.recipient)
}

func (s *session) Reset()        { s.recipient = "" }
func (s *session) Logout() error { return nil }

// A discardLogger discards the log of go-smtp.
type discardLogger struct{}

func (discardLogger) Printf(string, ...any) {}
func (discardLogger) Println(...any)        {}
