package crash_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
)

// testMatrix injects each fault at each point.
func testMatrix(t *testing.T, s *stack.Stack) {
	const parallel = 2
	notifications := 1
	if *full {
		notifications = 25
	}
	var matrix sync.WaitGroup
	results := make([]map[Point]tally, len(faults))
	for i, f := range faults {
		matrix.Go(func() { results[i] = runFault(t, s, f, notifications, parallel) })
	}
	matrix.Wait()
	table := newTable("point")
	for _, f := range faults {
		table.columns = append(table.columns, f.name)
	}
	for _, p := range points {
		var cells []string
		for i := range faults {
			cells = append(cells, results[i][p].String())
		}
		table.add(p.String(), cells...)
	}
	var inUse []string
	for _, result := range results {
		var longest time.Duration
		for _, cell := range result {
			longest = max(longest, cell.KeyInUse)
		}
		inUse = append(inUse, fmt.Sprintf("%.1f s", longest.Seconds()))
	}
	table.add("an Idempotency-Key was in use for at most", inUse...)
	table.print(t, "A fault at each point")
}

// runFault runs one column of the matrix.
func runFault(t *testing.T, s *stack.Stack, f fault, notifications, parallel int) map[Point]tally {
	t.Helper()
	var mu sync.Mutex
	results := map[Point]tally{}
	var jobs []job
	for _, p := range points {
		jobs = append(jobs, func(ctx context.Context, w *world) {
			got := w.run(ctx, func() error { return f.inject(ctx, w, p, notifications) })
			for _, fault := range got.faults {
				t.Errorf("%s, %s: %s", f.name, p, fault)
			}
			mu.Lock()
			defer mu.Unlock()
			results[p] = got
		})
	}
	runJobs(t, s, parallel, f.second, jobs)
	return results
}
