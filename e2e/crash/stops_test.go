package crash_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/smtptest"
)

// A stop is a SIGTERM to a Herald that has reached a point with a mail while a fault is active.
type stop struct {
	name   string
	at     Point
	inject func(h *herald)
	stays  bool // whether the mail stays at the point
}

var stops = []stop{
	{"a conversation hangs", AfterDot, func(*herald) {}, true},
	{"PostgreSQL is unreachable, a conversation continues", AfterRcpt, (*herald).loseDatabase, false},
	{"PostgreSQL is unreachable, a result must be recorded", BeforeOutcome, (*herald).loseDatabase, false},
	{"PostgreSQL hangs, a conversation continues", AfterRcpt, func(h *herald) { h.proxy.pause() }, false},
	{"PostgreSQL hangs, a result must be recorded", BeforeOutcome, func(h *herald) { h.proxy.pause() }, false},
	{"sending is paused, PostgreSQL is unreachable", AfterMail, func(h *herald) {
		h.fail(func(at smtptest.Stage) (smtptest.Fault, bool) {
			return smtptest.Fault{Code: 421}, at == smtptest.AtMail || at == smtptest.AtHello
		})
		h.loseDatabase()
	}, false},
}

// stopWithin is the time limit of a stop: the grace period of conversations and a little more.
const stopWithin = 20 * time.Second

// testStops sends SIGTERM to a Herald while a fault is active. Herald must end within stopWithin,
// and the next Herald finishes the jobs.
func testStops(t *testing.T, system *stack.Stack) {
	var jobs []job
	var mu sync.Mutex
	for _, s := range stops {
		jobs = append(jobs, func(ctx context.Context, w *world) {
			var took time.Duration
			got := w.run(ctx, func() (err error) {
				took, err = s.run(ctx, w)
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			t.Logf("%s: %v, %s", s.name, took.Round(time.Millisecond), got)
			for _, fault := range got.faults {
				t.Errorf("%s: %s", s.name, fault)
			}
			if took > stopWithin {
				t.Errorf("%s: it took %v", s.name, took)
			}
		})
	}
	runJobs(t, system, len(jobs), false, jobs)
}

// run runs one stop and returns how long it took.
func (s stop) run(ctx context.Context, w *world) (time.Duration, error) {
	held := w.a.hold(s.at, false)
	w.post(ctx, w.a)
	w.posts.Wait()
	err := held.await(ctx)
	s.inject(w.a)
	release := sync.OnceFunc(held.release)
	if !s.stays {
		release()
	}
	begun := time.Now()
	if stopErr := w.a.Stop(); stopErr != nil { // Herald reports jobs that it could not hand back
		err = errors.Join(err, w.a.Kill())
	}
	took := time.Since(begun)
	release()
	w.a.proxy.refuse(false)
	w.a.proxy.resume()
	return took, err
}
