package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/pkg/svcauth"
)

// memory measures the heap in use after a verifier has verified a tenth of the tokens, and after
// all of them. The tokens stay valid, so that none is dropped because it has expired.
func memory(ctx context.Context, w *world, tokens int) ([]row, error) {
	if tokens == 0 {
		return nil, nil
	}
	verifier, err := w.verifier()
	if err != nil {
		return nil, err
	}
	defer verifier.Close()
	const steps = 10
	heaps := [steps + 1]float64{heapInUse()}
	for step := range steps {
		if err := w.verifyNewTokens(ctx, verifier, tokens/steps); err != nil {
			return nil, err
		}
		heaps[step+1] = heapInUse()
		progress("%d of %d tokens verified, %.1f MB of heap in use", (step+1)*(tokens/steps), tokens, heaps[step+1])
	}
	growth := heaps[steps] / heaps[1]
	last := row{
		what: fmt.Sprintf("  %d", tokens/steps*steps), figure: megabytes(heaps[steps]),
		ratio: fmt.Sprintf("%.2f × after %d", growth, tokens/steps),
	}
	return []row{
		heading("Heap in use, after distinct tokens verified"),
		{what: "  0", figure: megabytes(heaps[0])},
		{what: fmt.Sprintf("  %d", tokens/steps), figure: megabytes(heaps[1])},
		last.withGoal(growth, atMost(1.1)),
	}, nil
}

func megabytes(mb float64) string { return fmt.Sprintf("%.1f MB", mb) }

// heapInUse returns the size of the reachable heap in megabytes.
func heapInUse() float64 {
	runtime.GC()
	runtime.GC() // sync.Pool keeps its objects for one more cycle
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc) / 1e6
}

// verifyNewTokens signs and verifies n tokens, concurrently.
func (w *world) verifyNewTokens(ctx context.Context, verifier *svcauth.Verifier, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		group.Go(func() error {
			v, err := newRequestVerifier(verifier, userURL)
			if err != nil {
				return err
			}
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, userURL, nil)
			if err != nil {
				return fmt.Errorf("making request: %w", err)
			}
			for i := worker; i < n; i += workers {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := w.signer.Sign(r, audience, subject); err != nil {
					return err
				}
				if err := v.check([]string{r.Header.Get(svcauth.Header)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
