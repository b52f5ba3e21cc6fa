package crash_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"example.com/micromachine/pkg/smtptest"
)

// A fault is something that breaks at a point, for so many notifications.
type fault struct {
	name   string
	second bool // whether a second Herald runs
	strike func(ctx context.Context, w *world, at Point, notifications int) error
}

// faults are the columns of the matrix.
var faults = []fault{
	{"killed, restarted", false, killAndRestart},
	{"killed, a second replica runs", true, killBesideReplica},
	{"connection cut", false, cutConnections},
	{"database hangs for 10 s", false, hangDatabase},
}

// perKill is how many notifications are on their way at each kill beside a replica. Each such kill
// takes as long as the replica needs to take over.
const perKill = 5

var errNotReached = errors.New("the point was not reached")

// hang returns how long the database hangs. River gives a fetch up after 10 s: a shorter hang has its
// reply come late, but come.
func hang(at Point) time.Duration {
	if at == AfterFetch {
		return 6 * time.Second
	}
	return hangFor
}

const (
	hangFor     = 10 * time.Second
	hangsAtOnce = 5 // a hang of each point's own connection
)

// killAndRestart kills Herald at a point, once for each notification. What it left is worked by the
// Heralds after it.
func killAndRestart(ctx context.Context, w *world, at Point, n int) error {
	for range n {
		held := w.a.hold(at, true)
		w.postTo(ctx, w.a, at)
		if err := kill(ctx, w.a, held); err != nil {
			return err
		}
		if err := w.a.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// kill kills a Herald that is held at a point, or will be.
func kill(ctx context.Context, h *herald, held *hold) error {
	err := held.await(ctx)
	if err == nil {
		err = h.Kill()
	}
	h.clear()
	held.release()
	return err
}

// killBesideReplica kills one Herald of two at a point, and lets the other one finish what it left.
func killBesideReplica(ctx context.Context, w *world, at Point, n int) error {
	for n > 0 {
		held, notMine := w.a.hold(at, true), w.b.hold(BeforeFetch, true)
		for range min(n, perKill) {
			w.postTo(ctx, w.a, at)
		}
		n -= perKill
		err := kill(ctx, w.a, held)
		w.b.clear()
		notMine.release()
		if err != nil {
			return err
		}
		pause(ctx, takeOverWithin)
		if err := w.a.Start(ctx); err != nil { // what was not answered is repeated to it
			return err
		}
	}
	return nil
}

// takeOverWithin is how long a replica needs to find out that another one has died, and to work its
// jobs.
const takeOverWithin = 8 * time.Second

// cutConnections cuts connections to PostgreSQL: that of the write at hand, or all of them when the
// point is one of the conversation with the mail server.
func cutConnections(ctx context.Context, w *world, at Point, n int) error {
	if at == AfterHello {
		w.a.fail(dropAfterReply)
	}
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

// dropAfterReply has no connection to the mail server be used twice, so that each mail begins with EHLO.
func dropAfterReply(at smtptest.Stage) (smtptest.Fault, bool) {
	return smtptest.Fault{}, at == smtptest.AtEnd
}

// hangDatabase has the connection of the write at hand hang, or all of them when the point is one of
// the conversation with the mail server. All notifications are on their way at the same time.
func hangDatabase(ctx context.Context, w *world, at Point, n int) error {
	var hangs atomic.Int32
	over := make(chan struct{}, hangsAtOnce)
	w.a.set(func(p Point) bool {
		switch n := hangs.Load(); {
		case p != at || n >= hangsAtOnce || !hangs.CompareAndSwap(n, n+1):
			return false
		case !at.ofMail():
			pause(ctx, hang(at))
			over <- struct{}{}
		case n == 0:
			w.a.proxy.pause()
			time.AfterFunc(hangFor, func() { w.a.proxy.resume(); over <- struct{}{} })
		}
		return false
	})
	for range n {
		w.postTo(ctx, w.a, at)
	}
	return (&hold{reached: over}).await(ctx)
}

// pause waits for a while.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
