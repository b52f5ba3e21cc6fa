package httpserve

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// maxDrainTime is the longest time for which a draining listener accepts connections. Without it, a
// listener would stay open while clients connect faster than it accepts.
const maxDrainTime = time.Second

// A listener is a TCP listener that drain closes when its accept queue is empty. The kernel
// completes handshakes and queues the connections. It resets the connections that are in the queue
// when the listener is closed, although their clients may have sent a request. A connection that
// arrives in the microseconds between check and close is lost.
type listener struct {
	*net.TCPListener
	open *connections

	drainDeadline time.Time
	draining      atomic.Bool
}

// drain makes Accept close the listener as soon as the queue is empty.
func (l *listener) drain() error {
	l.drainDeadline = time.Now().Add(maxDrainTime)
	l.draining.Store(true)
	err := l.SetDeadline(time.Now()) // wakes Accept
	if errors.Is(err, net.ErrClosed) {
		return nil // Accept has already closed the listener
	}
	return err
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	for {
		if l.draining.Load() {
			if time.Now().After(l.drainDeadline) || !queued(l.TCPListener) {
				return nil, errors.Join(net.ErrClosed, l.Close())
			}
			if err := l.SetDeadline(l.drainDeadline); err != nil {
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
