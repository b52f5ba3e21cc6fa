package mail

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
)

// maxReply is the maximum size in bytes of a reply.
const maxReply = 64 << 10

// A replyConn is a connection to a mail server. It rewrites the server's replies for go-mail:
//
//   - It adds the space after the code when the text is missing (RFC 5321 section 4.2).
//   - It converts the names of extensions to upper case (RFC 5321 section 2.4).
//   - It removes the extensions that Herald does not use. go-mail would request 8BITMIME wherever
//     it is offered. Herald does not need it, as it encodes all parts in 7 bits.
type replyConn struct {
	net.Conn

	limited *io.LimitedReader
	lines   *bufio.Reader
	unread  []byte // the rest of the current reply
	hello   bool   // the last command was EHLO
}

func newReplyConn(conn net.Conn) *replyConn {
	limited := &io.LimitedReader{R: conn, N: maxReply}
	return &replyConn{Conn: conn, limited: limited, lines: bufio.NewReader(limited)}
}

// Write implements [net.Conn]. go-mail writes each command with one call.
func (c *replyConn) Write(p []byte) (int, error) {
	c.limited.N = maxReply
	c.hello = bytes.HasPrefix(p, []byte("EHLO "))
	return c.Conn.Write(p)
}

// Read implements [net.Conn].
func (c *replyConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		reply, err := c.readReply()
		if err != nil {
			return 0, err
		}
		c.unread = []byte(strings.Join(reply, "\r\n") + "\r\n")
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// readReply returns the lines of a reply.
func (c *replyConn) readReply() ([]string, error) {
	var reply []string
	for {
		line, err := c.lines.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) == len("250") {
			line += " "
		}
		reply = append(reply, line)
		if len(line) < len("250-") || line[3] != '-' {
			break
		}
	}
	if c.hello && strings.HasPrefix(reply[0], "250") {
		reply = usedExtensions(reply)
	}
	return reply, nil
}

// usedExtensions rewrites a reply to EHLO. It merges several AUTH lines into one: some servers also
// send the old form AUTH=PLAIN.
func usedExtensions(reply []string) []string {
	used, auth := []string{reply[0][len("250-"):]}, []string{"AUTH"}
	for _, line := range reply[1:] {
		words := strings.FieldsFunc(strings.ToUpper(line[min(len(line), len("250-")):]), func(r rune) bool {
			return r == ' ' || r == '\t' || r == '='
		})
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "STARTTLS", "ENHANCEDSTATUSCODES", "SMTPUTF8":
			used = append(used, words[0])
		case "AUTH":
			auth = append(auth, words[1:]...)
		}
	}
	for i, text := range used {
		used[i] = "250-" + text
	}
	return append(used, "250 "+strings.Join(auth, " "))
}
