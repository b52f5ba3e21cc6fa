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

// A Proxy is a TCP proxy to a server that can refuse connections or stop responding. It is safe for
// concurrent use.
type Proxy struct {
	Addr string // the address to connect to

	server string

	mu       sync.Mutex
	listener net.Listener
	hanging  bool
	conns    map[net.Conn]bool
}

// NewProxy returns a proxy to the server's address. It stops with the test.
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
			go p.forward(conn)
		}
	}()
	return nil
}

// forward connects one client to the server until either closes the connection.
func (p *Proxy) forward(client net.Conn) {
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

func (p *Proxy) closeConns() {
	for conn := range p.conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

// Refuse closes all connections and refuses new ones.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	p.closeConns()
}

// Hang closes all connections, accepts new ones and never responds on them.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hanging = true
	p.closeConns()
}

// Accept ends Refuse or Hang.
func (p *Proxy) Accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeConns()
	if p.hanging {
		p.hanging = false
		return
	}
	_ = p.listen() // if another process has taken the port, the test fails
}
