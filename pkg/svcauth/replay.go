package svcauth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// errReplayUnavailable is the cause of a refusal because the replay store failed.
var errReplayUnavailable = errors.New("the replay store cannot answer")

// A ReplayStore records the tokens that were used, so that each works once. All replicas of a
// service share one. Implementations are safe for concurrent use.
type ReplayStore interface {
	// Burn records that issuer's token id was used, and reports whether this was its first use. Of
	// any number of concurrent calls exactly one returns true.
	//
	// From until on no verifier accepts the token, by its own clock. A zero until means that the
	// token never expires. From until on Burn returns false, by the clock of the store, whether the
	// token was used or not: the store may have deleted the record of the first use, and a call may
	// have been delayed before Burn. The store keeps the record for longer than that, by as much as
	// the clock by which it deletes records may be set back.
	//
	// After an error the call is refused with 503.
	Burn(ctx context.Context, issuer, id string, until time.Time) (first bool, err error)
}

const (
	// sweepInterval is the time between two deletions of expired records.
	sweepInterval = time.Minute
	// keepExpired is how far the clock may be set back without a record being deleted too early.
	keepExpired = time.Minute
)

// A MemoryReplay is a [ReplayStore] for a service with a single replica, and for tests. It uses the
// clock of the verifier that calls it. A restart loses its records, while tokens are valid for
// minutes: use package pgreplay for a service that must be exact.
type MemoryReplay struct {
	mu    sync.Mutex
	used  map[[2]string]time.Time
	swept time.Time
}

// NewMemoryReplay returns an empty store.
func NewMemoryReplay() *MemoryReplay {
	return &MemoryReplay{used: map[[2]string]time.Time{}}
}

// Burn implements [ReplayStore]. It never returns an error.
func (m *MemoryReplay) Burn(ctx context.Context, issuer, id string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := clockFrom(ctx)()
	m.sweep(now)
	if !until.IsZero() && !now.Before(until) {
		return false, nil
	}
	key := [2]string{issuer, strings.Clone(id)} // a substring would keep the whole token in memory
	if _, used := m.used[key]; used {
		return false, nil
	}
	m.used[key] = until
	return true, nil
}

// sweep deletes the records of tokens that expired more than keepExpired ago. m.mu is held.
func (m *MemoryReplay) sweep(now time.Time) {
	if now.Sub(m.swept).Abs() < sweepInterval { // the clock may have been set back
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

// withClock returns a context that carries the verifier's clock to a MemoryReplay, also through a
// store that wraps it.
func withClock(ctx context.Context, now func() time.Time) context.Context {
	return context.WithValue(ctx, clockKey{}, now)
}

// clockFrom returns the verifier's clock; time.Now if the caller is not a verifier.
func clockFrom(ctx context.Context) func() time.Time {
	if now, ok := ctx.Value(clockKey{}).(func() time.Time); ok {
		return now
	}
	return time.Now
}
