package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/micromachine/herald/internal/mail"
)

// The bounds of the exponential backoff between probes. firstProbe is the default of
// [Config.FirstProbe].
const (
	firstProbe = time.Second
	maxBackoff = time.Minute
)

// A breaker is a circuit breaker in front of the mail server. A fault that concerns all mail opens
// it. While it is open, one caller at a time sends a mail as a probe, with exponential backoff and
// jitter between probes. The first probe that succeeds closes it, and all waiting callers proceed.
// It is safe for concurrent use.
type breaker struct {
	log     *slog.Logger
	first   time.Duration
	backlog *Backlog // may be nil

	mu      sync.Mutex
	opened  time.Time     // when the breaker opened; zero while it is closed
	backoff time.Duration // the current backoff, without jitter
	probeAt time.Time     // when the next probe may start
	probe   int           // the number of the probe in progress, or 0
	probes  int           // the number of probes started so far
	changed chan struct{} // closed and replaced at each change of state
}

func newBreaker(log *slog.Logger, first time.Duration, backlog *Backlog) *breaker {
	return &breaker{log: log, first: first, backlog: backlog, changed: make(chan struct{})}
}

// acquire waits until the caller may send, and calls onWait before each wait. It returns 0 when the
// breaker is closed, and the number of the probe when the caller's mail is one. Each successful
// call is followed by a call of succeeded, failed or canceled. The error is ctx's.
func (b *breaker) acquire(ctx context.Context, onWait func()) (probe int, err error) {
	for {
		wait, probe, changed := b.admit()
		if wait == 0 {
			return probe, nil
		}
		onWait()
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

// admit returns zero when the caller may send. Otherwise it returns how long to wait, and a channel
// that is closed when the state changes before.
func (b *breaker) admit() (wait time.Duration, probe int, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch now := time.Now(); {
	case b.opened.IsZero():
		return 0, 0, nil
	case b.probe != 0:
		return maxBackoff, 0, b.changed
	case now.Before(b.probeAt):
		return b.probeAt.Sub(now), 0, b.changed
	default:
		b.probes++
		b.probe = b.probes
		return 0, b.probe, nil
	}
}

// succeeded records that the mail server has answered about a mail. It closes the breaker.
func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened.IsZero() {
		return
	}
	b.log.Info("sending resumed", "paused_for", time.Since(b.opened).Round(time.Millisecond).String())
	b.opened, b.probe = time.Time{}, 0
	b.backlog.SetPaused(false)
	b.broadcast()
}

// failed records a fault of the mail server. It opens a closed breaker. While the breaker is open,
// only a failed probe counts: the other mails were sent before it opened.
func (b *breaker) failed(probe int, cause *mail.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case b.opened.IsZero():
		b.opened, b.backoff = now, b.first
		b.backlog.SetPaused(true)
		b.log.Error("sending is paused: the mail server accepts no mail", "error", cause, "smtp_code", cause.Code)
	case probe == 0 || probe != b.probe:
		return
	default:
		b.backoff = min(2*b.backoff, maxBackoff)
		b.log.Warn("sending is still paused: a probe failed", "error", cause, "smtp_code", cause.Code,
			"next_probe_in", b.backoff.String())
	}
	b.probe = 0
	b.probeAt = now.Add(b.backoff - rand.N(b.backoff/4+1)) //nolint:gosec // jitter needs no secure random numbers
	b.broadcast()
}

// canceled records that the caller has sent nothing. It makes the caller's probe, if it has one,
// available to others. It has no effect after succeeded or failed.
func (b *breaker) canceled(probe int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe != 0 && probe == b.probe {
		b.probe = 0
		b.broadcast()
	}
}

// broadcast wakes all waiting callers. The caller must hold b.mu.
func (b *breaker) broadcast() {
	close(b.changed)
	b.changed = make(chan struct{})
}
