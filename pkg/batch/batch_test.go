package batch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/pkg/batch"
)

// double returns a Run function that takes a second, doubles the items and records the batches.
func double(batches *[][]int) func(context.Context, []int) ([]int, error) {
	return func(_ context.Context, batch []int) ([]int, error) {
		time.Sleep(time.Second)
		*batches = append(*batches, batch)
		doubled := make([]int, 0, len(batch))
		for _, n := range batch {
			doubled = append(doubled, 2*n)
		}
		return doubled, nil
	}
}

// A call that finds no batch running is committed at once. Calls that arrive during a commit share
// the next one.
func TestWritesShareCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var batches [][]int
		g := batch.New(batch.Config[int, int]{Run: double(&batches), MaxBatch: 4})
		start := time.Now()
		var wait sync.WaitGroup
		for n := range 10 {
			wait.Go(func() {
				if got, err := g.Do(t.Context(), n); got != 2*n || err != nil {
					t.Errorf("%d: got %d, %v", n, got, err)
				}
			})
			synctest.Wait()
		}
		wait.Wait()
		if len(batches) != 4 || len(batches[0]) != 1 || len(batches[1]) != 4 || time.Since(start) != 4*time.Second {
			t.Errorf("batches %v in %v", batches, time.Since(start))
		}
		if got := slices.Concat(batches...); !slices.IsSorted(got) {
			t.Errorf("not in the order of the calls: %v", got)
		}
	})
}

func TestContextThatEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var batches [][]int
		g := batch.New(batch.Config[int, int]{Run: double(&batches)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		var wait sync.WaitGroup
		wait.Go(func() {
			if _, err := g.Do(ctx, 1); !errors.Is(err, batch.ErrInDoubt) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("while it is committed: %v", err)
			}
		})
		synctest.Wait()
		wait.Go(func() {
			if _, err := g.Do(ctx, 2); errors.Is(err, batch.ErrInDoubt) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("while it waits: %v", err)
			}
		})
		wait.Wait()
		if _, err := g.Do(ctx, 3); errors.Is(err, batch.ErrInDoubt) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before it begins: %v", err)
		}
		if got, err := g.Do(t.Context(), 4); got != 8 || err != nil {
			t.Errorf("afterwards: %d, %v", got, err)
		}
		if all := slices.Concat(batches...); !slices.Equal(all, []int{1, 4}) {
			t.Errorf("committed %v", all)
		}
	})
}

var errBad = errors.New("bad item")

// A rejected item fails alone. After an outage, the batch fails without being retried.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, rejected := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			commits := 0
			g := batch.New(batch.Config[int, int]{
				Rejected: func(error) bool { return rejected },
				Run: func(_ context.Context, batch []int) ([]int, error) {
					commits++
					time.Sleep(time.Second)
					if slices.Contains(batch, 3) {
						return nil, errBad
					}
					return batch, nil
				},
			})
			var wait sync.WaitGroup
			for n := range 5 {
				wait.Go(func() {
					_, err := g.Do(t.Context(), n)
					if want := n == 3 || n > 0 && !rejected; errors.Is(err, errBad) != want {
						t.Errorf("rejected %v, item %d: %v", rejected, n, err)
					}
				})
				synctest.Wait()
			}
			wait.Wait()
			if want := map[bool]int{true: 6, false: 2}[rejected]; commits != want {
				t.Errorf("rejected %v: %d commits, want %d", rejected, commits, want)
			}
		})
	}
}

func TestCommitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := batch.New(batch.Config[int, int]{
			Timeout: time.Minute,
			Run:     func(ctx context.Context, _ []int) ([]int, error) { <-ctx.Done(); return nil, ctx.Err() },
		})
		start := time.Now()
		if _, err := g.Do(t.Context(), 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
