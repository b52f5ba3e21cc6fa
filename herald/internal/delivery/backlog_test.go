package delivery_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/herald/internal/delivery"
)

// TestBacklog checks that deliveries lag when all jobs wait too long for a while, and are stalled
// when the mail server is the bottleneck.
func TestBacklog(t *testing.T) {
	t.Parallel()
	const soon, late = 10 * time.Millisecond, 700 * time.Millisecond
	for name, c := range map[string]struct {
		waits         []time.Duration // of one job each 10 ms
		connecting    time.Duration
		busy          time.Duration // for which the connections are in use
		cpu           time.Duration // for which goroutines wait for a CPU
		quiet         time.Duration // afterwards
		lags, stalled bool
	}{
		"nothing measured":           {},
		"prompt":                     {waits: repeat(soon, 50)},
		"late":                       {waits: repeat(late, 50), lags: true},
		"late for a moment":          {waits: repeat(late, 5)},
		"late, then prompt":          {waits: append(repeat(late, 50), repeat(soon, 60)...)},
		"late again for a moment":    {waits: append(append(repeat(late, 50), soon), repeat(late, 5)...)},
		"late, and nothing since":    {waits: repeat(late, 50), quiet: 2 * time.Second},
		"mails wait for connections": {waits: repeat(soon, 50), connecting: 150 * time.Millisecond, stalled: true},
		"mails wait for a moment":    {waits: repeat(soon, 50), connecting: 50 * time.Millisecond},
		"the mail server hangs":      {waits: repeat(soon, 50), busy: 150 * time.Millisecond, stalled: true},
		"the CPU is busy": {
			waits: repeat(soon, 50), connecting: 150 * time.Millisecond, busy: 150 * time.Millisecond, cpu: 5 * time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := delivery.NewBacklog(func(d time.Duration) bool { return c.busy >= d }, func() time.Duration { return c.cpu })
				for _, wait := range c.waits {
					b.JobStarted(wait)
					b.Connected(c.connecting)
					b.JobFinished()
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(c.quiet)
				if b.Lagging() != c.lags || b.Stalled() != c.stalled {
					t.Errorf("lagging is %t, stalled is %t", b.Lagging(), b.Stalled())
				}
				if done := b.Done(); done != uint64(len(c.waits)) {
					t.Errorf("%d jobs done", done)
				}
			})
		})
	}
}

// TestBacklogIsStalledWhilePaused checks that deliveries are stalled while the circuit breaker is
// open.
func TestBacklogIsStalledWhilePaused(t *testing.T) {
	t.Parallel()
	b := newIdleBacklog()
	for _, paused := range []bool{true, false} {
		b.SetPaused(paused)
		if b.Stalled() != paused {
			t.Errorf("paused %t: stalled is %t", paused, b.Stalled())
		}
	}
}

// TestBacklogLagsForAWhile checks that deliveries still lag for a while after they have caught up.
func TestBacklogLagsForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newIdleBacklog()
		b.JobStarted(time.Second)
		time.Sleep(100 * time.Millisecond)
		if b.Lagging() {
			t.Error("lagging because of one job")
		}
		b.JobStarted(time.Second)
		if !b.Lagging() {
			t.Error("not lagging")
		}
		b.JobStarted(0)
		time.Sleep(400 * time.Millisecond)
		if !b.Lagging() {
			t.Error("not lagging any more after 400 ms")
		}
		time.Sleep(200 * time.Millisecond)
		if b.Lagging() {
			t.Error("lagging after 600 ms")
		}
	})
}

// newIdleBacklog returns a backlog whose mail server and CPU are idle.
func newIdleBacklog() *delivery.Backlog {
	return delivery.NewBacklog(func(time.Duration) bool { return false }, func() time.Duration { return 0 })
}

func repeat(d time.Duration, n int) []time.Duration { return slices.Repeat([]time.Duration{d}, n) }
