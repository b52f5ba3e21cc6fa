package httpserve

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// settleInterval is how often a draining server looks at its connections.
const settleInterval = 10 * time.Millisecond

// connections are those that a server has open.
type connections struct {
	mu       sync.Mutex
	states   map[net.Conn]http.ConnState
	active   int          // how many of them have a request under way
	lastSign atomic.Int64 // when one was accepted, sent something or changed its state, in Unix nanoseconds
}

// A conn is a connection whose reads are noticed. net/http notices a request only when all of its
// header has come.
type conn struct {
	*net.TCPConn
	open *connections
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		c.open.touch()
	}
	return n, err
}

// touch records a sign of life on one of the connections.
func (c *connections) touch() { c.lastSign.Store(time.Now().UnixNano()) }

// changeState is the [http.Server]'s ConnState.
func (c *connections) changeState(conn net.Conn, state http.ConnState) {
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.states[conn] == http.StateActive {
		c.active--
	}
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.states, conn)
		return
	case http.StateActive:
		c.active++
	default: // a connection without a request
	}
	c.states[conn] = state
}

// settle returns when no connection is left, or when no request is under way and there was no sign
// of life for the time of linger. An error says that ctx ended while requests were under way.
func (c *connections) settle(ctx context.Context, linger time.Duration) error {
	tick := time.NewTicker(settleInterval)
	defer tick.Stop()
	for {
		open, active := c.count()
		if open == 0 || active == 0 && time.Since(time.Unix(0, c.lastSign.Load())) >= linger {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if active > 0 {
				return ctx.Err()
			}
			return nil
		}
	}
}

func (c *connections) count() (open, active int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.states), c.active
}
