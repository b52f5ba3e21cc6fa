// Package batch gathers concurrent calls into batches, so that many share one round trip, and writes
// one commit (group commit).
//
//	burns := batch.New(batch.Config[key, bool]{Run: func(ctx context.Context, keys []key) ([]bool, error) {
//		...
//	}})
//	first, err := burns.Do(ctx, k)
//
// While one batch runs, the next one gathers. A call that comes alone waits for nobody. Each caller
// gets its own result when the batch that holds its call has ended.
package batch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrInDoubt says that a caller's context ended while its batch was running: a write may have
// happened.
var ErrInDoubt = errors.New("the batch is running and its result is not known")

// A Config says how a [Group] runs its batches.
type Config[In, Out any] struct {
	// Run executes a batch of at least one call and returns a result for each one in the batch's
	// order. Writes are all committed, or none. It is called by one goroutine at a time. Required.
	Run func(ctx context.Context, batch []In) ([]Out, error)
	// Rejected reports whether an error of Run may be the fault of one call alone. The calls of
	// such a batch are then run one by one. The default is never.
	Rejected func(error) bool
	// MaxBatch is the largest batch; the default is 256.
	MaxBatch int
	// Timeout bounds each Run; the default is 10 s. The callers' own contexts do not bound it, as a
	// batch belongs to several of them.
	Timeout time.Duration
}

// A Group gathers calls. It is safe for concurrent use. It uses no goroutine while nothing runs.
type Group[In, Out any] struct {
	config Config[In, Out]

	mu      sync.Mutex
	waiting []*call[In, Out]
	running bool
}

// A call is one item with the caller that waits for its result.
type call[In, Out any] struct {
	item In
	done chan struct{} // closed when out and err are set
	out  Out
	err  error
}

// New returns a group.
func New[In, Out any](config Config[In, Out]) *Group[In, Out] {
	config.MaxBatch = cmp.Or(config.MaxBatch, 256)
	config.Timeout = cmp.Or(config.Timeout, 10*time.Second)
	return &Group[In, Out]{config: config}
}

// Do runs an item in a batch and returns its result. When ctx ends first, the error is ctx's own, and
// the item was not run, or wraps [ErrInDoubt] as well.
func (g *Group[In, Out]) Do(ctx context.Context, item In) (Out, error) {
	c := &call[In, Out]{item: item, done: make(chan struct{})}
	if err := ctx.Err(); err != nil {
		return c.out, err
	}
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	if !g.running {
		g.running = true
		go g.run()
	}
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.out, c.err
	case <-ctx.Done():
	}
	var zero Out
	if g.withdraw(c) {
		return zero, ctx.Err()
	}
	select {
	case <-c.done: // both were ready
		return c.out, c.err
	default:
		return zero, errors.Join(ErrInDoubt, ctx.Err())
	}
}

// withdraw takes back a call that is in no batch yet.
func (g *Group[In, Out]) withdraw(c *call[In, Out]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, c)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// run executes batches until nothing waits.
func (g *Group[In, Out]) run() {
	for {
		batch := g.next()
		if batch == nil {
			return
		}
		err := g.execute(batch)
		if err != nil && len(batch) > 1 && g.config.Rejected != nil && g.config.Rejected(err) {
			for i := range batch {
				g.settle(batch[i:i+1], g.execute(batch[i:i+1]))
			}
			continue
		}
		g.settle(batch, err)
	}
}

func (g *Group[In, Out]) next() []*call[In, Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.running = false
		return nil
	}
	n := min(len(g.waiting), g.config.MaxBatch)
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return batch
}

// execute runs a batch and sets the results of its calls.
func (g *Group[In, Out]) execute(batch []*call[In, Out]) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Timeout)
	defer cancel()
	items := make([]In, 0, len(batch))
	for _, c := range batch {
		items = append(items, c.item)
	}
	results, err := g.config.Run(ctx, items)
	if err != nil {
		return err
	}
	for i, c := range batch {
		c.out = results[i]
	}
	return nil
}

func (g *Group[In, Out]) settle(batch []*call[In, Out], err error) {
	for _, c := range batch {
		c.err = err
		close(c.done)
	}
}
