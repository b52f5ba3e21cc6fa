package mail_test

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/micromachine/herald/internal/mail"
)

// A script maps commands to replies. The keys are the commands' verbs, and:
//
//   - "greeting",
//   - "AUTH PLAIN" and the like, for one mechanism,
//   - "EHLO over TLS", for EHLO after STARTTLS,
//   - "." for the end of a message.
//
// A reply is sent unchanged, followed by CRLF. If a reply contains "|", its parts answer the
// command and the lines that follow it. An empty reply closes the connection.
type script map[string]string

var usualScript = script{
	"greeting": "220 mail.example.com ESMTP", "EHLO": "250-mail.example.com\r\n250 STARTTLS",
	"HELO": "250 mail.example.com", "STARTTLS": "220 go ahead", "AUTH": "504 unknown mechanism",
	"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go ahead", ".": "250 ok",
	"RSET": "250 ok", "QUIT": "221 bye", "*": "501 cancelled",
}

// offer returns a reply to EHLO that offers STARTTLS and extensions.
func offer(extensions ...string) string {
	return "250-mail.example.com\r\n250-" + strings.Join(append(extensions, "STARTTLS"), "\r\n250-") + "\r\n250 HELP"
}

// A scripted is a mail server that answers by a script and records the lines that it receives. It
// serves tests that smtptest does not support.
type scripted struct {
	listener net.Listener
	script   script
	tls      *tls.Config

	mu    sync.Mutex
	lines []string
}

// startScripted starts a server and returns it with a sender for it. usualScript provides the
// replies that the script does not contain.
func startScripted(t *testing.T, s script, config mail.Config) (*scripted, *mail.Sender) {
	t.Helper()
	serverTLS, roots := certificate(t)
	listener, err := net.Listen("tcp", cmp.Or(config.Addr, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &scripted{listener: listener, script: s, tls: serverTLS}
	t.Cleanup(func() { _ = listener.Close() })
	go server.serve()
	config.Addr, config.Roots = listener.Addr().String(), roots
	return server, newSender(t, config)
}

func (s *scripted) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.converse(conn)
	}
}

// reply returns the reply to the first key that the script or usualScript contains.
func (s *scripted) reply(keys ...string) string {
	for _, script := range []script{s.script, usualScript} {
		for _, key := range keys {
			if reply, ok := script[key]; ok {
				return reply
			}
		}
	}
	return "500 unknown command"
}

// converse serves one connection.
func (s *scripted) converse(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	lines, replies, inData := bufio.NewScanner(conn), strings.Split(s.reply("greeting"), "|"), false
	for {
		if replies[0] == "" {
			return
		}
		if _, err := conn.Write([]byte(replies[0] + "\r\n")); err != nil {
			return
		}
		if line := s.last(); strings.HasPrefix(line, "STARTTLS") && strings.HasPrefix(replies[0], "220") && !isTLS(conn) {
			conn = tls.Server(conn, s.tls)
			lines = bufio.NewScanner(conn)
		}
		replies = replies[1:]
		line, ok := s.hear(lines, inData)
		if !ok {
			return
		}
		if len(replies) > 0 {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		parameter, _, _ := strings.Cut(rest, " ")
		keys := []string{verb + " " + parameter, verb}
		if isTLS(conn) {
			keys = slices.Insert(keys, 0, verb+" over TLS")
		}
		replies = strings.Split(s.reply(keys...), "|")
		inData = verb == "DATA" && strings.HasPrefix(replies[0], "354")
	}
}

func isTLS(conn net.Conn) bool { _, ok := conn.(*tls.Conn); return ok }

// hear reads and records a line, or all lines of a message.
func (s *scripted) hear(lines *bufio.Scanner, message bool) (string, bool) {
	for lines.Scan() {
		s.mu.Lock()
		s.lines = append(s.lines, lines.Text())
		s.mu.Unlock()
		if !message || lines.Text() == "." {
			return lines.Text(), true
		}
	}
	return "", false
}

func (s *scripted) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == 0 {
		return ""
	}
	return s.lines[len(s.lines)-1]
}

// heard returns the lines that start with a prefix.
func (s *scripted) heard(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, line := range s.lines {
		if strings.HasPrefix(line, prefix) {
			found = append(found, line)
		}
	}
	return found
}

// header returns the header of the first message.
func (s *scripted) header(t *testing.T) netmail.Header {
	t.Helper()
	_, message, _ := strings.Cut(strings.Join(s.heard(""), "\r\n"), "DATA\r\n")
	parsed, err := netmail.ReadMessage(strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header
}
