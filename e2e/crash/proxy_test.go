package crash_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// errCut says that the proxy closed a connection on purpose.
var errCut = errors.New("cut")

// A proxy forwards connections from one Herald to PostgreSQL.
type proxy struct {
	listener net.Listener
	target   string
	// at is called at each point. The connection hangs while at blocks. The connection is closed
	// when at returns true.
	at func(Point) (cut bool)

	mu       sync.Mutex
	links    map[*link]struct{}
	refusing bool
	paused   chan struct{} // closed when the pause ends; nil without a pause
}

func newProxy(target string, at func(Point) bool) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the proxy: %w", err)
	}
	p := &proxy{listener: listener, target: target, at: at, links: map[*link]struct{}{}}
	go p.serve()
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) close() {
	_ = p.listener.Close()
	p.resume()
	p.cut()
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.link(client)
	}
}

func (p *proxy) link(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	l := &link{proxy: p, client: client, server: server, transcript: transcript{prepared: map[string]string{}}}
	if !p.add(l) {
		return
	}
	defer p.remove(l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.fromServer() // the connection is closed whatever the error
		_ = client.Close()
	}()
	_ = l.fromClient() // the connection is closed whatever the error
	_ = server.Close()
	<-done
}

func (p *proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusing {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// cut closes all connections except those that are held at a point.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		if l.held.Load() == 0 {
			_ = l.client.Close()
			_ = l.server.Close()
		}
	}
}

// refuse sets whether new connections are refused.
func (p *proxy) refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = refuse
}

// pause makes all connections hang until resume.
func (p *proxy) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused == nil {
		p.paused = make(chan struct{})
	}
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused != nil {
		close(p.paused)
		p.paused = nil
	}
}

// await waits until no pause is active.
func (p *proxy) await() {
	p.mu.Lock()
	paused := p.paused
	p.mu.Unlock()
	if paused != nil {
		<-paused
	}
}

// A link is one connection through the proxy.
type link struct {
	proxy          *proxy
	client, server net.Conn
	transcript     transcript // used by fromClient only
	held           atomic.Int32

	mu      sync.Mutex
	pending []write // the writes whose replies are still to come
}

// reach calls at for a point. It returns errCut when the connection must be closed.
func (l *link) reach(p Point) error {
	if p == 0 {
		return nil
	}
	l.held.Add(1)
	defer l.held.Add(-1)
	if l.proxy.at(p) {
		return errCut
	}
	return nil
}

// fromClient forwards the client's messages. It forwards all messages up to a Sync together.
func (l *link) fromClient() error {
	r := bufio.NewReader(l.client)
	startup, err := readStartup(r)
	if err != nil {
		return err
	}
	if _, err := l.server.Write(startup); err != nil {
		return err
	}
	var unit []byte
	for {
		m, err := readMessage(r)
		if err != nil {
			return err
		}
		unit = append(unit, m...)
		switch m.kind() {
		case msgSync, msgQuery:
			l.transcript.note(m)
			w := l.transcript.commits()
			if err := l.reach(writePoints[w].before); err != nil {
				return err
			}
			l.mu.Lock()
			l.pending = append(l.pending, w)
			l.mu.Unlock()
		case msgPassword, msgFlush, msgTerminate:
		default:
			l.transcript.note(m)
			continue
		}
		l.proxy.await()
		if _, err := l.server.Write(unit); err != nil {
			return err
		}
		unit = nil
	}
}

// fromServer forwards the server's messages. It holds the reply to a write back until the reply is
// complete.
func (l *link) fromServer() error {
	r := bufio.NewReader(l.server)
	var reply []byte
	var rows int
	var failed bool
	for {
		m, err := readMessage(r)
		if err != nil {
			return err
		}
		reply = append(reply, m...)
		w := l.head(m.kind() == msgReady)
		switch m.kind() {
		case msgComplete:
			rows = rowsOf(m)
		case msgError:
			failed = true
		}
		if w != none && m.kind() != msgReady {
			continue
		}
		at := writePoints[w]
		if failed || w == fetch && rows == 0 {
			at.in, at.after = 0, 0
		}
		if err := l.reach(at.in); err != nil {
			return err
		}
		l.proxy.await()
		if _, err := l.client.Write(reply); err != nil {
			return err
		}
		if err := l.reach(at.after); err != nil {
			return err
		}
		reply = nil
		if m.kind() == msgReady {
			rows, failed = 0, false
		}
	}
}

// head returns the write whose reply is being read. If done is true, it removes the write.
func (l *link) head(done bool) write {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 {
		return none
	}
	w := l.pending[0]
	if done {
		l.pending = l.pending[1:]
	}
	return w
}
