package pgtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy passes connections on to a server, or does not.
type Proxy struct {
	Addr string // where it listens

	server string

	mu       sync.Mutex
	listener net.Listener
	hanging  bool
	conns    map[net.Conn]bool
}

// NewProxy returns a proxy before the server, which ends with the test.
func NewProxy(tb testing.TB, server string) *Proxy {
	tb.Helper()
	p := &Proxy{server: server, Addr: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	if err := p.listen(); err != nil {
		tb.Fatal(err)
	}
	p.Addr = p.listener.Addr().String()
	tb.Cleanup(p.Refuse)
	return p
}

func (p *Proxy) listen() error {
	listener, err := net.Listen("tcp", p.Addr)
	if err != nil {
		return fmt.Errorf("listening for the proxy: %w", err)
	}
	p.listener = listener
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.pass(conn)
		}
	}()
	return nil
}

// pass connects one client to the server until either leaves.
func (p *Proxy) pass(client net.Conn) {
	p.mu.Lock()
	p.conns[client] = true
	hanging := p.hanging
	p.mu.Unlock()
	defer client.Close()
	if hanging {
		_, _ = io.Copy(io.Discard, client)
		return
	}
	server, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), "tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

func (p *Proxy) drop() {
	for conn := range p.conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

// Refuse ends all connections and refuses new ones.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	p.drop()
}

// Hang ends all connections, and neither answers nor closes new ones.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hanging = true
	p.drop()
}

// Accept ends what Refuse or Hang began.
func (p *Proxy) Accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
	if p.hanging {
		p.hanging = false
		return
	}
	_ = p.listen() // a port that somebody else has taken shows in the test
}
