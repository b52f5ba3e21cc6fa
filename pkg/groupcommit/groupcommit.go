// Package groupcommit gathers concurrent writes into batches, so that many share one commit.
//
//	burns := groupcommit.New(groupcommit.Config[key, bool]{Commit: func(ctx context.Context, keys []key) ([]bool, error) {
//		...
//	}})
//	first, err := burns.Do(ctx, k)
//
// While one batch is written, the next one gathers. A write that comes alone waits for nobody. Each
// caller gets the result of its own write after the commit of the batch that holds it.
package groupcommit

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrInDoubt says that a caller's context ended while its write was being committed: the write may
// have happened.
var ErrInDoubt = errors.New("the commit is under way and its result is not known")

// A Config says how a [Group] commits.
type Config[In, Out any] struct {
	// Commit writes a batch of at least one item, whole or not at all, and returns a result for
	// each item in the batch's order. It is called by one goroutine at a time. Required.
	Commit func(ctx context.Context, batch []In) ([]Out, error)
	// Rejected reports whether an error of Commit may be the fault of one item alone. The items
	// of such a batch are then written one by one. The default is never.
	Rejected func(error) bool
	// MaxBatch is the largest batch; the default is 256.
	MaxBatch int
	// Timeout bounds each Commit; the default is 10 s. The callers' own contexts do not bound it,
	// as a batch belongs to several of them.
	Timeout time.Duration
}

// A Group gathers writes. It is safe for concurrent use. Nothing runs while nothing is written.
type Group[In, Out any] struct {
	config Config[In, Out]

	mu      sync.Mutex
	waiting []*write[In, Out]
	running bool
}

// A write is an item with the caller that waits for its result.
type write[In, Out any] struct {
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

// Do writes an item and returns its result after the commit. When ctx ends first, the error is
// ctx's own, and nothing was written, or wraps [ErrInDoubt] as well.
func (g *Group[In, Out]) Do(ctx context.Context, item In) (Out, error) {
	w := &write[In, Out]{item: item, done: make(chan struct{})}
	if err := ctx.Err(); err != nil {
		return w.out, err
	}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	if !g.running {
		g.running = true
		go g.run()
	}
	g.mu.Unlock()
	select {
	case <-w.done:
		return w.out, w.err
	case <-ctx.Done():
	}
	var zero Out
	if g.withdraw(w) {
		return zero, ctx.Err()
	}
	select {
	case <-w.done: // both were ready
		return w.out, w.err
	default:
		return zero, errors.Join(ErrInDoubt, ctx.Err())
	}
}

// withdraw takes back a write that is in no batch yet.
func (g *Group[In, Out]) withdraw(w *write[In, Out]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, w)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// run commits batches until nothing waits.
func (g *Group[In, Out]) run() {
	for {
		batch := g.next()
		if batch == nil {
			return
		}
		err := g.commit(batch)
		if err != nil && len(batch) > 1 && g.config.Rejected != nil && g.config.Rejected(err) {
			for i := range batch {
				g.settle(batch[i:i+1], g.commit(batch[i:i+1]))
			}
			continue
		}
		g.settle(batch, err)
	}
}

func (g *Group[In, Out]) next() []*write[In, Out] {
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

// commit writes a batch and sets the results of its writes.
func (g *Group[In, Out]) commit(batch []*write[In, Out]) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Timeout)
	defer cancel()
	items := make([]In, 0, len(batch))
	for _, w := range batch {
		items = append(items, w.item)
	}
	results, err := g.config.Commit(ctx, items)
	if err != nil {
		return err
	}
	for i, w := range batch {
		w.out = results[i]
	}
	return nil
}

func (g *Group[In, Out]) settle(batch []*write[In, Out], err error) {
	for _, w := range batch {
		w.err = err
		close(w.done)
	}
}
