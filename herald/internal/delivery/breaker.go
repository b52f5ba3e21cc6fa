package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/micromachine/herald/internal/mail"
)

// How a breaker probes a mail server that is in trouble: the pause doubles.
const (
	firstProbe = time.Second
	lastProbe  = time.Minute
)

// A breaker is a circuit breaker before the mail server. A fault that concerns all mail opens it:
// nobody sends then but one probe at a time, with exponential backoff and jitter. The first probe
// that succeeds closes it, and lets go of all who wait.
type breaker struct {
	log     *slog.Logger
	first   time.Duration
	backlog *Backlog // may be nil

	mu      sync.Mutex
	opened  time.Time     // zero while it is closed
	backoff time.Duration // before the next probe
	probeAt time.Time
	probe   int           // the number of the probe under way, or 0
	probes  int           // so far
	changed chan struct{} // closed at each change
}

func newBreaker(log *slog.Logger, first time.Duration, backlog *Backlog) *breaker {
	return &breaker{log: log, first: first, backlog: backlog, changed: make(chan struct{})}
}

// enter waits until the caller may send: when the breaker is closed, or as its probe, whose number it
// returns then. Each call that returns no error is followed by one of passed, tripped or left.
func (b *breaker) enter(ctx context.Context) (probe int, err error) {
	for {
		wait, probe, changed := b.admit()
		if wait == 0 {
			return probe, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		}
		timer.Stop()
	}
}

// admit returns no wait when the caller may send, or how long to wait unless something changes before.
func (b *breaker) admit() (wait time.Duration, probe int, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch now := time.Now(); {
	case b.opened.IsZero():
		return 0, 0, nil
	case b.probe != 0:
		return lastProbe, 0, b.changed
	case now.Before(b.probeAt):
		return b.probeAt.Sub(now), 0, b.changed
	default:
		b.probes++
		b.probe = b.probes
		return 0, b.probe, nil
	}
}

// passed says that the mail server works: it answered about a mail.
func (b *breaker) passed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened.IsZero() {
		return
	}
	b.log.Info("sending goes on", "paused_for", time.Since(b.opened).Round(time.Millisecond).String())
	b.opened, b.probe = time.Time{}, 0
	b.backlog.Paused(false)
	b.change()
}

// tripped says that the mail server is in trouble. While the breaker is open, only its probe counts:
// all else was sent before.
func (b *breaker) tripped(probe int, cause *mail.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case b.opened.IsZero():
		b.opened, b.backoff = now, b.first
		b.backlog.Paused(true)
		b.log.Error("sending is paused: the mail server takes no mail", "error", cause, "smtp_code", cause.Code)
	case probe == 0 || probe != b.probe:
		return
	default:
		b.backoff = min(2*b.backoff, lastProbe)
		b.log.Warn("sending stays paused", "error", cause, "smtp_code", cause.Code, "next_probe_in", b.backoff.String())
	}
	b.probe = 0
	b.probeAt = now.Add(b.backoff - rand.N(b.backoff/4+1)) //nolint:gosec // spreads load, protects nothing
	b.change()
}

// left says that the caller has sent nothing and knows nothing of the mail server.
func (b *breaker) left(probe int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe != 0 && probe == b.probe {
		b.probe = 0
		b.change()
	}
}

// change wakes all who wait. b.mu is held.
func (b *breaker) change() {
	close(b.changed)
	b.changed = make(chan struct{})
}
