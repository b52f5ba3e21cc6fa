package svcauth

import (
	"context"
	"strings"
	"sync"
	"time"
)

// A ReplayStore remembers the tokens that were used, so that each works once. All replicas of a service share one.
// Implementations are safe for concurrent use.
type ReplayStore interface {
	// Burn records that issuer's token id was used and reports whether this was its first use. Of any number of
	// concurrent calls exactly one is told true.
	//
	// No verifier accepts the token from until on, by its own clock; a zero until means that the token never expires. A
	// store that forgets records must report false for every until that is not after the time up to which it may have
	// forgotten any, by the clock by which it forgets them; else a call that is held up between its first checks and Burn
	// could use a token again. A simple way is to report false from until on, and to forget later than that.
	//
	// On an error the call is refused with 503: a store that cannot answer lets nothing pass.
	Burn(ctx context.Context, issuer, id string, until time.Time) (first bool, err error)
}

// sweepEvery is how often a MemoryReplay forgets what has expired.
const sweepEvery = time.Minute

// A MemoryReplay is a [ReplayStore] for a service with a single replica, and for tests. It goes by the clock of the
// verifier that calls it. What it knows is gone after a restart, while a token is valid for minutes: a service that must be
// exact uses package pgreplay.
type MemoryReplay struct {
	mu        sync.Mutex
	used      map[[2]string]time.Time
	swept     time.Time
	forgotten time.Time // the latest until of the records that were deleted
}

// NewMemoryReplay returns an empty store.
func NewMemoryReplay() *MemoryReplay {
	return &MemoryReplay{used: map[[2]string]time.Time{}}
}

// Burn implements [ReplayStore]. It never fails. A token is refused from until on, and when it could be one that was
// forgotten before the clock was put back.
func (m *MemoryReplay) Burn(ctx context.Context, issuer, id string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := clockFrom(ctx)()
	m.sweep(now)
	if !until.IsZero() && (!until.After(now) || !until.After(m.forgotten)) {
		return false, nil
	}
	key := [2]string{issuer, strings.Clone(id)} // or the whole token would stay in memory
	if _, used := m.used[key]; used {
		return false, nil
	}
	m.used[key] = until
	return true, nil
}

// sweep deletes the records of tokens that have expired. m.mu is held.
func (m *MemoryReplay) sweep(now time.Time) {
	if now.Sub(m.swept).Abs() < sweepEvery { // the clock may have been put back
		return
	}
	m.swept = now
	for key, until := range m.used {
		if until.IsZero() || until.After(now) {
			continue
		}
		delete(m.used, key)
		if until.After(m.forgotten) {
			m.forgotten = until
		}
	}
}

type clockKey struct{}

// withClock returns a context that carries the verifier's clock to a MemoryReplay, through whatever wraps it.
func withClock(ctx context.Context, now func() time.Time) context.Context {
	return context.WithValue(ctx, clockKey{}, now)
}

// clockFrom returns the verifier's clock; time.Now where no verifier calls.
func clockFrom(ctx context.Context) func() time.Time {
	if now, ok := ctx.Value(clockKey{}).(func() time.Time); ok {
		return now
	}
	return time.Now
}
