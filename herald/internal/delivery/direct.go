package delivery

import (
	"context"
	"sync"
	"time"
)

// maxDirect is how many executions of accepted notifications run at once, beside those that are
// fetched. When there are as many, notifications go through the queue.
const maxDirect = 256

// direct bounds the executions that begin with their acceptance, and ends them. It is safe for
// concurrent use.
type direct struct {
	ctx    context.Context //nolint:containedctx // of the executions; ends when their grace is over
	cancel context.CancelFunc

	mu      sync.Mutex
	running int           // or reserved
	stopped chan struct{} // nil until stop is called; closed when nothing is running
}

func newDirect() *direct {
	ctx, cancel := context.WithCancel(context.Background())
	return &direct{ctx: ctx, cancel: cancel}
}

// reserve reports whether one more execution may run. Each one is released once.
func (d *direct) reserve() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped != nil || d.running >= maxDirect {
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

// stop lets no more executions begin and waits for those that run. It cancels them after grace, and
// returns ctx's error when ctx ends before they do.
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
