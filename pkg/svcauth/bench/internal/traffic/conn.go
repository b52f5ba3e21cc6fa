// Package traffic sends requests to a service and matches the resulting mails to them.
package traffic

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// callTimeout is the time limit of a request and its response.
const callTimeout = 30 * time.Second

// A Target is a service that requests are sent to.
type Target struct {
	Addr string
	TLS  *tls.Config // nil: plain HTTP
	// Request appends an HTTP/1.1 request about a user to buffer. It must be safe for concurrent
	// use.
	Request func(buffer []byte, user int) ([]byte, error)
}

// A Conn is a keep-alive HTTP/1.1 connection. It writes the requests itself to use little CPU time,
// because the client shares the machine with the measured services.
type Conn struct {
	target Target
	conn   net.Conn
	reader *bufio.Reader
	buffer []byte
}

// Dial opens a connection to the target.
func Dial(ctx context.Context, target Target) (*Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target.Addr)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if target.TLS != nil {
		secure := tls.Client(conn, target.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("connecting: %w", err), conn.Close())
		}
		conn = secure
	}
	return &Conn{target: target, conn: conn, reader: bufio.NewReader(conn)}, nil
}

// DialMany opens n connections.
func DialMany(ctx context.Context, target Target, n int) ([]*Conn, error) {
	conns := make([]*Conn, 0, n)
	for range n {
		c, err := Dial(ctx, target)
		if err != nil {
			CloseAll(conns)
			return nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

// CloseAll closes the connections.
func CloseAll(conns []*Conn) {
	for _, c := range conns {
		_ = c.conn.Close() // no request is in progress
	}
}

// Call sends the target's request about a user and returns the response.
func (c *Conn) Call(user int) (status int, body []byte, err error) {
	if err := c.prepare(user); err != nil {
		return 0, nil, err
	}
	return c.Send(c.buffer)
}

// prepare stores the target's request about a user in c.buffer.
func (c *Conn) prepare(user int) (err error) {
	if c.buffer, err = c.target.Request(c.buffer[:0], user); err != nil {
		return fmt.Errorf("making request: %w", err)
	}
	return nil
}

// Send sends a request and returns the response.
func (c *Conn) Send(request []byte) (status int, body []byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return 0, nil, fmt.Errorf("setting deadline: %w", err)
	}
	if _, err := c.conn.Write(request); err != nil {
		return 0, nil, fmt.Errorf("writing request: %w", err)
	}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("reading response: %w", err)
	}
	body, err = io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return 0, nil, fmt.Errorf("reading response: %w", err)
	}
	return res.StatusCode, body, nil
}
