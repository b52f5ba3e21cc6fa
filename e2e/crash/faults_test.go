package crash_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"example.com/micromachine/pkg/smtptest"
)

// A fault is injected at a point, for a number of notifications.
type fault struct {
	name   string // the column in the table
	second bool   // whether a second Herald runs
	inject func(ctx context.Context, w *world, at Point, notifications int) error
}

// faults are the columns of the matrix.
var faults = []fault{
	{"killed, restarted", false, killAndRestart},
	{"killed, a second replica runs", true, killWithReplica},
	{"connection cut", false, cutConnections},
	{"database hangs for 10 s", false, hangDatabase},
}

// perKill is the number of notifications in progress at each kill of a Herald with a replica. After
// a kill the replica needs several seconds to take over.
const perKill = 5

var errNotReached = errors.New("the point was not reached")

// hang returns how long the database hangs at a point. River's fetch times out after 10 s. The hang
// after the fetch is shorter, so that the reply is only late, which is the harder case.
func hang(at Point) time.Duration {
	if at == AfterFetch {
		return 6 * time.Second
	}
	return hangFor
}

const (
	hangFor     = 10 * time.Second
	hangsAtOnce = 5 // the number of connections that hang at a point
)

// killAndRestart kills Herald at a point, once for each notification. The next Heralds finish the
// jobs.
func killAndRestart(ctx context.Context, w *world, at Point, n int) error {
	for range n {
		held := w.a.hold(at, true)
		w.postTo(ctx, w.a, at)
		if err := kill(ctx, w.a, held); err != nil {
			return err
		}
		if err := restart(ctx, w.a, at); err != nil {
			return err
		}
	}
	return nil
}

// kill kills a Herald when it reaches a point.
func kill(ctx context.Context, h *herald, held *hold) error {
	err := held.await(ctx)
	if err == nil {
		err = h.Kill()
	}
	h.clear()
	held.release()
	return err
}

// restart starts a killed Herald that must reach a point again.
func restart(ctx context.Context, h *herald, at Point) error {
	reconnect(h, at)
	return h.Start(ctx)
}

// killWithReplica kills one of two Heralds at a point. The other one finishes its jobs.
func killWithReplica(ctx context.Context, w *world, at Point, n int) error {
	for n > 0 {
		held, fetchHold := w.a.hold(at, true), w.b.hold(BeforeFetch, true)
		for range min(n, perKill) {
			w.postTo(ctx, w.a, at)
		}
		n -= perKill
		err := kill(ctx, w.a, held)
		w.b.clear()
		fetchHold.release()
		if err != nil {
			return err
		}
		pause(ctx, takeOverWithin)
		if err := restart(ctx, w.a, at); err != nil { // it receives the requests that were not answered
			return err
		}
	}
	return nil
}

// takeOverWithin is how long a replica needs to detect that another one is dead, and to finish its
// jobs.
const takeOverWithin = 9 * time.Second

// cutConnections closes connections to PostgreSQL: the connection of the write at the point, or all
// of them when the point is one of the SMTP conversation.
func cutConnections(ctx context.Context, w *world, at Point, n int) error {
	reconnect(w.a, at)
	for range n {
		reached := make(chan struct{})
		var once atomic.Bool
		w.a.set(func(p Point) bool {
			if p != at || !once.CompareAndSwap(false, true) {
				return false
			}
			if at.ofMail() {
				w.a.proxy.cut()
			}
			close(reached)
			return !at.ofMail()
		})
		w.postTo(ctx, w.a, at)
		if err := (&hold{reached: reached}).await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reconnect closes each connection to Herald's mail server after one mail if the point is EHLO, so
// that each mail begins with EHLO.
func reconnect(h *herald, at Point) {
	if at == AfterHello {
		h.fail(func(stage smtptest.Stage) (smtptest.Fault, bool) { return smtptest.Fault{}, stage == smtptest.AtEnd })
	}
}

// hangDatabase makes the connection of the write at the point hang, or all connections when the
// point is one of the SMTP conversation. All notifications are in progress at the same time.
func hangDatabase(ctx context.Context, w *world, at Point, n int) error {
	var hangs atomic.Int32
	done := make(chan struct{}, hangsAtOnce)
	w.a.set(func(p Point) bool {
		switch n := hangs.Load(); {
		case p != at || n >= hangsAtOnce || !hangs.CompareAndSwap(n, n+1):
			return false
		case !at.ofMail():
			pause(ctx, hang(at))
			done <- struct{}{}
		case n == 0:
			w.a.proxy.pause()
			time.AfterFunc(hangFor, func() { w.a.proxy.resume(); done <- struct{}{} })
		}
		return false
	})
	for range n {
		w.postTo(ctx, w.a, at)
	}
	return (&hold{reached: done}).await(ctx)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
