package crash_test

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/smtptest"
)

// A trap is called when Herald reaches a point. It may block. When it returns true, the connection
// to PostgreSQL or to the mail server that reached the point is closed.
type trap func(Point) (cut bool)

// A mailFault returns the fault of the mail server at a stage of a conversation, if there is one.
// It applies in addition to the trap.
type mailFault func(smtptest.Stage) (smtptest.Fault, bool)

// A herald is one Herald with its own proxy to PostgreSQL and its own mail server.
type herald struct {
	*stack.Process

	caller   *stack.Caller
	proxy    *proxy
	census   *pgtest.Proxy // the proxy to Census
	queueing atomic.Bool   // see queueNext
	mail     *smtptest.Server
	trap     atomic.Pointer[trap]
	faults   atomic.Pointer[mailFault]
}

// startHerald starts a Herald on a database. It connects to Census through a proxy.
func startHerald(
	ctx context.Context, s *stack.Stack, name, databaseURL string, census *pgtest.Proxy,
) (h *herald, err error) {
	h = &herald{census: census}
	h.clear()
	database, err := url.Parse(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parsing database URL: %w", err)
	}
	if h.proxy, err = newProxy(database.Host, h.reach); err != nil {
		return nil, err
	}
	database.Host = h.proxy.addr()
	// No TLS, so that the proxy can read. Few connections, as many Heralds run at once.
	database.RawQuery = "sslmode=disable&pool_max_conns=10"
	if h.mail, err = smtptest.Start(smtptest.Config{OnStage: h.onStage}); err != nil {
		return nil, err
	}
	another, err := s.AnotherHerald(ctx, name, "HERALD_DATABASE_URL="+database.String(),
		"HERALD_CONNECT_TO=census.service:443:"+census.Addr,
		"HERALD_SMTP_ADDR="+h.mail.Addr(), "HERALD_SMTP_TLS=insecure-plaintext")
	if err != nil {
		return nil, err
	}
	h.Process = another.Process
	_, h.caller, _, err = s.Callers(another)
	return h, err
}

func (h *herald) close() {
	h.clear()
	_ = h.Kill() // the stack reports errors
	h.proxy.close()
	_ = h.mail.Close()
}

// set sets the trap.
func (h *herald) set(t trap) { h.trap.Store(&t) }

// clear removes the trap and the mail fault.
func (h *herald) clear() {
	h.set(func(Point) bool { return false })
	h.fail(func(smtptest.Stage) (smtptest.Fault, bool) { return smtptest.Fault{}, false })
}

// fail sets the mail fault.
func (h *herald) fail(f mailFault) { h.faults.Store(&f) }

// reach is called when Herald reaches a point.
func (h *herald) reach(p Point) bool {
	if p == AfterFetch && h.queueing.CompareAndSwap(true, false) {
		h.census.Accept()
	}
	return (*h.trap.Load())(p)
}

// queueNext makes the notifications that are accepted before the next fetch go through the job
// queue. Census refuses connections until then, so that no direct delivery starts.
func (h *herald) queueNext() {
	if h.queueing.CompareAndSwap(false, true) {
		h.census.Refuse()
	}
}

func (h *herald) onStage(at smtptest.Stage, _ smtptest.Mail) (smtptest.Fault, bool) {
	if p := stagePoints[at]; p != 0 && h.reach(p) {
		return smtptest.Fault{}, true
	}
	return (*h.faults.Load())(at)
}

// loseDatabase closes all connections to PostgreSQL and refuses new ones.
func (h *herald) loseDatabase() {
	h.proxy.refuse(true)
	h.proxy.cut()
}

// A hold blocks everything that reaches a point until it is released.
type hold struct {
	reached  chan struct{} // receives a value for each arrival
	released chan struct{}
	cut      bool // whether to close the connections on release
}

// hold sets a trap that blocks at a point.
func (h *herald) hold(at Point, cut bool) *hold {
	held := &hold{reached: make(chan struct{}, 1000), released: make(chan struct{}), cut: cut}
	h.set(func(p Point) bool {
		if p != at {
			return false
		}
		select {
		case <-held.released:
			return false
		default:
		}
		held.reached <- struct{}{}
		<-held.released
		return held.cut
	})
	return held
}

func (h *hold) release() { close(h.released) }

// await waits until something reaches the point.
func (h *hold) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pointWithin)
	defer cancel()
	select {
	case <-h.reached:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w within %v", errNotReached, pointWithin)
	}
}

// pointWithin is the time limit for reaching a point.
const pointWithin = 40 * time.Second
