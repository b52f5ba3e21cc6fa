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
	if err := flag.Set("test.parallel", "8"); err != nil { // most of what the tests do is to wait
		panic(err)
	}
	pgtest.Main(m)
}

// TestCrash runs all tests on one Census, each with databases and Heralds of its own. The 10,000
// mails of a full run are sent while nothing else goes on.
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

// start starts what all worlds share: keys, Census and its users.
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

// newWorld returns a world with a database of its own.
func newWorld(t *testing.T, s *stack.Stack) *world {
	t.Helper()
	w := &world{
		name: fmt.Sprintf("world%d", worlds.Add(1)), databaseURL: pgtest.New(t, migrations.Up), judged: map[string]bool{},
		census: [2]*pgtest.Proxy{pgtest.NewProxy(t, s.CensusAddr), pgtest.NewProxy(t, s.CensusAddr)},
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

// start starts a Herald in the world, or two.
func (w *world) start(ctx context.Context, s *stack.Stack, second bool) (err error) {
	if w.a, err = startHerald(ctx, s, w.name+"a", w.databaseURL, w.census[0]); err == nil && second {
		w.b, err = startHerald(ctx, s, w.name+"b", w.databaseURL, w.census[1])
	}
	return err
}

// A job is a part of a test that takes a world of its own. Its time is mostly spent waiting.
type job func(ctx context.Context, w *world)

// runJobs runs jobs in so many worlds at a time.
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

// run breaks the world and judges what comes of it. It begins with a Herald that has no connection
// to the mail server yet.
func (w *world) run(ctx context.Context, strike func() error) tally {
	err := errors.Join(w.a.Kill(), w.a.Start(ctx))
	if err == nil {
		err = strike()
	}
	w.a.clear()
	err = errors.Join(err, w.a.Start(ctx))
	t := w.judge(ctx)
	if err != nil {
		t.fault("%v", err)
	}
	return t
}
