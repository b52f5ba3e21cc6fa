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

// A stop is a SIGTERM to a Herald that is at a point with a mail, and in trouble.
type stop struct {
	name    string
	at      Point
	trouble func(h *herald)
	stays   bool // at the point
}

var stops = []stop{
	{"a conversation hangs", AfterDot, func(*herald) {}, true},
	{"PostgreSQL is away, a conversation goes on", AfterRcpt, (*herald).loseDatabase, false},
	{"PostgreSQL is away, a result is to be recorded", BeforeOutcome, (*herald).loseDatabase, false},
	{"PostgreSQL hangs, a conversation goes on", AfterRcpt, func(h *herald) { h.proxy.pause() }, false},
	{"PostgreSQL hangs, a result is to be recorded", BeforeOutcome, func(h *herald) { h.proxy.pause() }, false},
	{"sending is paused, PostgreSQL is away", AfterMail, func(h *herald) {
		h.fail(func(at smtptest.Stage) (smtptest.Fault, bool) {
			return smtptest.Fault{Code: 421}, at == smtptest.AtMail || at == smtptest.AtHello
		})
		h.loseDatabase()
	}, false},
}

// stopWithin is how long Herald may take to end: the grace of conversations, and a little more.
const stopWithin = 20 * time.Second

// testStops sends SIGTERM to a Herald in trouble. It ends in time, in whatever trouble it is, and
// the next one goes on.
func testStops(t *testing.T, system *stack.Stack) {
	var jobs []job
	var mu sync.Mutex
	for _, s := range stops {
		jobs = append(jobs, func(ctx context.Context, w *world) {
			var took time.Duration
			got := w.run(ctx, func() (err error) {
				took, err = s.play(ctx, w)
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

// play plays it and returns how long Herald took to end.
func (s stop) play(ctx context.Context, w *world) (time.Duration, error) {
	held := w.a.hold(s.at, false)
	w.post(ctx, w.a)
	w.posts.Wait()
	err := held.await(ctx)
	s.trouble(w.a)
	release := sync.OnceFunc(held.release)
	if !s.stays {
		release()
	}
	begun := time.Now()
	if stopErr := w.a.Stop(); stopErr != nil { // what it could not hand back is an error to it
		err = errors.Join(err, w.a.Kill())
	}
	took := time.Since(begun)
	release()
	w.a.proxy.refuse(false)
	w.a.proxy.resume()
	return took, err
}
