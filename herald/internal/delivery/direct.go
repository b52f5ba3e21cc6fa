package delivery

import (
	"context"
	"sync"
	"time"
)

// minDirect is how many direct executions may run at once, unless there are more workers. At the
// limit, new notifications go through the queue. The admission control of new notifications has a
// lower limit, which does not apply while the mail server is slow.
const minDirect = 512

// A direct limits and stops the direct executions, which [Service.Accept] starts without the queue.
// It is safe for concurrent use.
type direct struct {
	ctx    context.Context //nolint:containedctx // of the executions; ends after the grace period
	cancel context.CancelFunc

	limit int // of running

	mu      sync.Mutex
	running int           // running or reserved executions
	stopped chan struct{} // nil until stop is called; closed when nothing is running
}

func newDirect(limit int) *direct {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // stop calls cancel
	return &direct{ctx: ctx, cancel: cancel, limit: limit}
}

// reserve reserves capacity for one execution. It returns false at the limit and after stop. Each
// successful call is followed by one call of release.
func (d *direct) reserve() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped != nil || d.running >= d.limit {
		return false
	}
	d.running++
	return true
}

func (d *direct) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	if d.stopped != nil && d.running == 0 {
		close(d.stopped)
	}
}

// stop prevents further executions and waits for the running ones. It cancels them after grace. It
// returns ctx's error when ctx ends first.
func (d *direct) stop(ctx context.Context, grace time.Duration) error {
	defer time.AfterFunc(grace, d.cancel).Stop()
	d.mu.Lock()
	d.stopped = make(chan struct{})
	if d.running == 0 {
		close(d.stopped)
	}
	d.mu.Unlock()
	select {
	case <-d.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
