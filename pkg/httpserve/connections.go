package httpserve

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// settleInterval is the time between two checks of the connections of a draining server.
const settleInterval = 10 * time.Millisecond

// connections are the open connections of a server.
type connections struct {
	mu           sync.Mutex
	states       map[net.Conn]http.ConnState
	active       int          // number of connections with a request in progress
	lastActivity atomic.Int64 // when one was accepted, sent something or changed its state, in Unix nanoseconds
}

// A conn records the time of its reads. net/http reports a request only when all of its header has
// arrived.
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

// touch records that there was activity on one of the connections.
func (c *connections) touch() { c.lastActivity.Store(time.Now().UnixNano()) }

// changeState is the ConnState of the [http.Server].
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

// settle returns when no connection is left, or when no request is in progress and there was no
// activity for the time of linger. It returns an error if ctx ends while requests are in progress.
func (c *connections) settle(ctx context.Context, linger time.Duration) error {
	tick := time.NewTicker(settleInterval)
	defer tick.Stop()
	for {
		open, active := c.count()
		if open == 0 || active == 0 && time.Since(time.Unix(0, c.lastActivity.Load())) >= linger {
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
