package httpserve

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// acceptLimit is how long a draining listener is kept open at most, where clients
// connect faster than their connections are accepted.
const acceptLimit = time.Second

// A listener is a TCP listener that is closed when its queue is empty. The kernel
// completes handshakes on its own and queues the connections. Those in the queue
// when the listener is closed are reset, though their clients may have sent a
// request. Between the last look at the queue and the close are microseconds.
type listener struct {
	*net.TCPListener
	open *connections

	limit    time.Time // of the drain
	draining atomic.Bool
}

// drain has Accept close the listener as soon as the queue is empty.
func (l *listener) drain() error {
	l.limit = time.Now().Add(acceptLimit)
	l.draining.Store(true)
	err := l.SetDeadline(time.Now()) // wakes Accept
	if errors.Is(err, net.ErrClosed) {
		return nil // Accept was quicker
	}
	return err
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	for {
		if l.draining.Load() {
			if time.Now().After(l.limit) || !queued(l.TCPListener) {
				return nil, errors.Join(net.ErrClosed, l.Close())
			}
			if err := l.SetDeadline(l.limit); err != nil {
				return nil, err
			}
		}
		tcp, err := l.AcceptTCP()
		if err == nil {
			l.open.touch()
			return &conn{TCPConn: tcp, open: l.open}, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
	}
}
