// Package batch collects concurrent calls into batches, so that many calls share one round trip and
// many writes share one commit (group commit).
//
//	inserts := batch.New(batch.Config[row, bool]{
//		Run: func(ctx context.Context, rows []row) ([]bool, error) { ... },
//	})
//	inserted, err := inserts.Do(ctx, r)
//
// While a batch runs, new calls wait for the next batch. A call that finds no batch running starts
// one at once. A caller gets its own result when the batch with its call has ended.
package batch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrInDoubt says that a caller's context ended while the batch with its call was running. The
// result is not known: a write may have been committed.
var ErrInDoubt = errors.New("the batch is running and its result is not known")

// A Config configures a [Group].
type Config[In, Out any] struct {
	// Run executes a batch of one or more calls and returns one result for each, in the order of
	// the batch. It commits all writes or none. One goroutine calls it at a time. Required.
	Run func(ctx context.Context, batch []In) ([]Out, error)
	// Rejected reports whether an error of Run may be caused by a single call. If so, the calls of
	// the batch are run one by one. Nil: never.
	Rejected func(error) bool
	// MaxBatch is the largest number of calls in a batch. Zero: 256.
	MaxBatch int
	// Timeout bounds each Run. Zero: 10 s. The contexts of the callers do not bound Run, because a
	// batch has calls of several callers.
	Timeout time.Duration
}

// A Group runs calls in batches. It is safe for concurrent use. It has no goroutine while no call
// waits or runs.
type Group[In, Out any] struct {
	config Config[In, Out]

	mu      sync.Mutex
	waiting []*call[In, Out]
	running bool
}

// A call is one item and the result that its caller waits for.
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

// Do runs an item in a batch and returns its result. If ctx ends first, Do returns the error of
// ctx. The error also wraps [ErrInDoubt] if the item is already being run; otherwise the item is
// not run.
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
	case <-c.done: // the result and the end of ctx came together
		return c.out, c.err
	default:
		return zero, errors.Join(ErrInDoubt, ctx.Err())
	}
}

// withdraw removes a call that is not in a batch yet. It reports whether it did.
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

// run executes batches until no call waits.
func (g *Group[In, Out]) run() {
	for {
		batch := g.next()
		if batch == nil {
			return
		}
		err := g.execute(batch)
		if err != nil && len(batch) > 1 && g.config.Rejected != nil && g.config.Rejected(err) {
			for i := range batch {
				g.finish(batch[i:i+1], g.execute(batch[i:i+1]))
			}
			continue
		}
		g.finish(batch, err)
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

// execute runs a batch. If Run succeeds, it stores the results in the calls.
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

func (g *Group[In, Out]) finish(batch []*call[In, Out], err error) {
	for _, c := range batch {
		c.err = err
		close(c.done)
	}
}
