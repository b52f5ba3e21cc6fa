package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/pkg/svcauth/bench/internal/sink"
)

// A Plan configures [Run].
type Plan struct {
	Conns int // keep-alive connections
	// Outstanding is the largest number of notifications whose mails have not arrived, in a closed
	// loop. Zero: no bound.
	Outstanding int
	// Rate is the number of POSTs per second, sent at regular times whatever the response times
	// are. Zero: a closed loop.
	Rate float64
	// Warm is the time before the measured window, and Window the window's length.
	Warm, Window time.Duration
	// Abandon ends the run with the window, without waiting for pending mails.
	Abandon bool
	// AtEdge, if set, is called at the start and at the end of the window.
	AtEdge func() error
}

// The times that a run waits for its last mails and then for duplicate mails.
const (
	drainTime     = 2 * time.Minute
	duplicateTime = 300 * time.Millisecond
)

// refusalPause is how long a client waits after a refusal.
const refusalPause = 20 * time.Millisecond

// A Result is the result of a run.
type Result struct {
	Elapsed  time.Duration
	Accepted int // POSTs answered 201
	Mails    int // mails that arrived
	// Latencies are the times from when a POST was due until its mail arrived, in ascending order.
	// In a closed loop they are those of the mails that arrived in the window, at a rate those of
	// the POSTs due in the window.
	Latencies []time.Duration

	// The totals of the whole run: the POSTs answered with 201, and the refused ones by status.
	AllAccepted int
	Refused     map[int]int // 429 and 503; any other status is an error
}

// Users returns the users in turn, for all runs.
type Users struct {
	Count    int
	returned atomic.Int64
}

func (u *Users) next() int { return int(u.returned.Add(1)-1)%u.Count + 1 }

// A run is one run of a plan.
type run struct {
	Plan
	target  Target
	users   *Users
	tracker *tracker
	slots   chan struct{}  // a semaphore for Outstanding; nil without
	due     chan time.Time // when POSTs are due with Rate; nil without
}

// Run sends POSTs to the target. It returns an error for lost mails and for duplicate mails.
func Run(ctx context.Context, plan Plan, target Target, users *Users, mails *sink.Sink) (Result, error) {
	r := &run{Plan: plan, target: target, users: users}
	r.tracker = newTracker(r.release)
	if plan.Outstanding > 0 {
		r.slots = make(chan struct{}, plan.Outstanding)
	}
	conns, err := DialMany(ctx, target, plan.Conns)
	if err != nil {
		return Result{}, err
	}
	defer CloseAll(conns)
	mails.Report(r.tracker.mailed)
	defer mails.Report(nil)

	w, result, err := r.send(ctx, conns)
	result.AllAccepted, result.Refused = r.tracker.answers()
	if err != nil || plan.Abandon {
		return result, err
	}
	err = r.drain(ctx)
	if plan.Rate > 0 {
		result.Latencies = latencies(r.tracker.dueIn(w))
	}
	return result, err
}

// send sends the POSTs of the plan and returns after the last response.
func (r *run) send(ctx context.Context, conns []*Conn) (w window, result Result, err error) {
	group, ctx := errgroup.WithContext(ctx)
	sending, stop := context.WithCancel(ctx)
	defer stop()
	if r.Rate > 0 {
		r.due = make(chan time.Time, int(r.Rate*(r.Warm+r.Window).Seconds()))
		group.Go(func() error { return r.pace(ctx) })
	}
	for _, c := range conns {
		group.Go(func() error { return r.client(sending, c) })
	}
	w, result, err = r.measure(ctx)
	if r.Rate == 0 || err != nil {
		stop() // at a rate the clients send all POSTs that were due
	}
	return w, result, errors.Join(err, group.Wait())
}

// measure waits for the warm-up and measures the window.
func (r *run) measure(ctx context.Context) (w window, result Result, err error) {
	if err := sleep(ctx, r.Warm); err != nil {
		return w, result, err
	}
	if err := r.edge(); err != nil {
		return w, result, err
	}
	before, _ := r.tracker.answers()
	w.begin = time.Now()
	if err := sleep(ctx, r.Window); err != nil {
		return w, result, err
	}
	w.end = time.Now()
	after, _ := r.tracker.answers()
	arrived := r.tracker.arrivedIn(w)
	return w, Result{
		Elapsed: w.end.Sub(w.begin), Accepted: after - before, Mails: len(arrived), Latencies: latencies(arrived),
	}, r.edge()
}

// edge calls AtEdge, if set.
func (r *run) edge() error {
	if r.AtEdge == nil {
		return nil
	}
	return r.AtEdge()
}

// pace sends to due when POSTs are due, at regular times.
func (r *run) pace(ctx context.Context) error {
	defer close(r.due)
	start := time.Now()
	for i := range cap(r.due) {
		due := start.Add(time.Duration(float64(i) / r.Rate * float64(time.Second)))
		if err := sleep(ctx, time.Until(due)); err != nil {
			return err
		}
		r.due <- due
	}
	return nil
}

// client sends one POST after the other over its connection until ctx ends.
func (r *run) client(ctx context.Context, c *Conn) error {
	for {
		due, ok := r.next(ctx)
		if !ok {
			return nil
		}
		user := r.users.next()
		r.tracker.posting(user, due)
		status, body, err := c.Call(user)
		switch {
		case err != nil:
			return err
		case status == http.StatusCreated:
			r.tracker.accept()
		case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
			r.tracker.refuse(user, status)
			r.release()
			_ = sleep(ctx, refusalPause) // next checks ctx
		default:
			return fmt.Errorf("POST was answered %d: %s", status, body)
		}
	}
}

// next waits until another POST may be sent and returns when it was due.
func (r *run) next(ctx context.Context) (due time.Time, ok bool) {
	if r.due != nil {
		select {
		case due, ok := <-r.due:
			return due, ok
		case <-ctx.Done():
			return time.Time{}, false
		}
	}
	if r.slots != nil {
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return time.Time{}, false
		}
	}
	return time.Now(), ctx.Err() == nil
}

// release frees a slot for another notification. There may be none to free, because a notification
// may be stored although the response was 503.
func (r *run) release() {
	select {
	case <-r.slots:
	default:
	}
}

// drain waits for the pending mails and returns an error unless each arrived once.
func (r *run) drain(ctx context.Context) error {
	deadline := time.Now().Add(drainTime)
	for r.tracker.outstanding() > 0 && time.Now().Before(deadline) {
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	if err := sleep(ctx, duplicateTime); err != nil {
		return err
	}
	return r.tracker.check()
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
