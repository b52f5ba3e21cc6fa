package crash_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/e2e/stack"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/pgtest"
)

// full is set by make crash. Without it the tests take a sample of every cell.
var full = flag.Bool("crash.full", false, "run all repetitions and print the tables")

func TestMain(m *testing.M) {
	flag.Parse()
	// Each test runs several Heralds. More tests at once starve them on a slow machine.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	pgtest.Main(m)
}

// TestCrash runs all tests with one Census. Each test has its own databases and Heralds. The 10,000
// mails of a full run are sent while no other test runs.
func TestCrash(t *testing.T) {
	t.Parallel()
	s := start(t)
	t.Run("two replicas", func(t *testing.T) {
		if !*full {
			t.Parallel()
		}
		testTwoReplicas(t, s)
	})
	for name, test := range map[string]func(*testing.T, *stack.Stack){
		"matrix": testMatrix, "schedule": testSchedule, "refused sender": testRefusedSender, "stops": testStops,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// start starts the processes that all worlds share, and makes their keys and the users.
func start(t *testing.T) *stack.Stack {
	t.Helper()
	dir := t.TempDir()
	bin, err := stack.BuiltPrograms(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.Start(t.Context(), stack.Config{BinDir: bin, Dir: dir, Logf: func(string, ...any) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var worlds atomic.Int32

// newWorld returns a world with a new database.
func newWorld(t *testing.T, s *stack.Stack) *world {
	t.Helper()
	census := s.Service("census").Addr
	w := &world{
		name: fmt.Sprintf("world%d", worlds.Add(1)), databaseURL: pgtest.New(t, migrations.Up), counted: map[string]bool{},
		census: [2]*pgtest.Proxy{pgtest.NewProxy(t, census), pgtest.NewProxy(t, census)},
	}
	t.Cleanup(func() {
		for _, h := range []*herald{w.a, w.b} {
			if h == nil {
				continue
			}
			h.close()
			if t.Failed() && !*full {
				lines := strings.Split(h.Log(), "\n")
				t.Logf("the end of the log of a Herald:\n%s", strings.Join(lines[max(0, len(lines)-30):], "\n"))
			}
		}
	})
	return w
}

// start starts one or two Heralds in the world.
func (w *world) start(ctx context.Context, s *stack.Stack, second bool) (err error) {
	if w.a, err = startHerald(ctx, s, w.name+"a", w.databaseURL, w.census[0]); err == nil && second {
		w.b, err = startHerald(ctx, s, w.name+"b", w.databaseURL, w.census[1])
	}
	return err
}

// A job is a part of a test. It uses one world at a time, and spends most of its time waiting.
type job func(ctx context.Context, w *world)

// runJobs runs the jobs in a number of worlds in parallel.
func runJobs(t *testing.T, s *stack.Stack, parallel int, second bool, jobs []job) {
	t.Helper()
	queue := make(chan job, len(jobs))
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	var group errgroup.Group
	for range min(parallel, len(jobs)) {
		w := newWorld(t, s)
		group.Go(func() error {
			if err := w.start(t.Context(), s, second); err != nil {
				return err
			}
			for j := range queue {
				j(t.Context(), w)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// run injects a fault and counts the results. It begins with a Herald that has no connection to the
// mail server yet.
func (w *world) run(ctx context.Context, inject func() error) tally {
	err := errors.Join(w.a.Kill(), w.a.Start(ctx))
	if err == nil {
		err = inject()
	}
	w.a.clear()
	err = errors.Join(err, w.a.Start(ctx))
	t := w.count(ctx)
	if err != nil {
		t.fault("%v", err)
	}
	return t
}
