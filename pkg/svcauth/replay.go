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
	// From until on no verifier accepts the token, by its own clock; a zero until means that the
	// token never expires. From until on Burn reports false, used or not, by the clock of the
	// store: by then it may have forgotten the first use, and a call may have been held up before
	// Burn. The record is kept for longer than that, by as much as the clock by which the store
	// forgets may be put back.
	//
	// On an error the call is refused with 503: a store that cannot answer lets nothing pass.
	Burn(ctx context.Context, issuer, id string, until time.Time) (first bool, err error)
}

const (
	// sweepEvery is how often a MemoryReplay forgets what has expired.
	sweepEvery = time.Minute
	// keepExpired is how far its clock may be put back without a token being forgotten.
	keepExpired = time.Minute
)

// A MemoryReplay is a [ReplayStore] for a service with a single replica, and for tests. It goes by
// the clock of the verifier that calls it. What it knows is gone after a restart, while a token is
// valid for minutes: a service that must be exact uses package pgreplay.
type MemoryReplay struct {
	mu    sync.Mutex
	used  map[[2]string]time.Time
	swept time.Time
}

// NewMemoryReplay returns an empty store.
func NewMemoryReplay() *MemoryReplay {
	return &MemoryReplay{used: map[[2]string]time.Time{}}
}

// Burn implements [ReplayStore]. It never fails. From until on a token is refused, used or not.
func (m *MemoryReplay) Burn(ctx context.Context, issuer, id string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := clockFrom(ctx)()
	m.sweep(now)
	if !until.IsZero() && !now.Before(until) {
		return false, nil
	}
	key := [2]string{issuer, strings.Clone(id)} // or the whole token would stay in memory
	if _, used := m.used[key]; used {
		return false, nil
	}
	m.used[key] = until
	return true, nil
}

// sweep deletes the records of tokens that expired a while ago. m.mu is held.
func (m *MemoryReplay) sweep(now time.Time) {
	if now.Sub(m.swept).Abs() < sweepEvery { // the clock may have been put back
		return
	}
	m.swept = now
	for key, until := range m.used {
		if !until.IsZero() && now.Sub(until) >= keepExpired {
			delete(m.used, key)
		}
	}
}

type clockKey struct{}

// withClock returns a context that carries the verifier's clock to a MemoryReplay, through whatever
// wraps it.
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
