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
	// concurrent calls exactly one is told true. The record may be forgotten after until; a zero until means never.
	// On an error the call is refused with 503: a store that cannot answer lets nothing pass.
	Burn(ctx context.Context, issuer, id string, until time.Time) (first bool, err error)
}

// sweepEvery is how often a MemoryReplay forgets what has expired.
const sweepEvery = time.Minute

// A MemoryReplay is a [ReplayStore] for a service with a single replica, and for tests. What it knows is gone after a
// restart, while a token is valid for minutes: a service that must be exact uses package pgreplay.
type MemoryReplay struct {
	mu    sync.Mutex
	used  map[[2]string]time.Time
	swept time.Time
}

// NewMemoryReplay returns an empty store.
func NewMemoryReplay() *MemoryReplay {
	return &MemoryReplay{used: map[[2]string]time.Time{}}
}

// Burn implements [ReplayStore]. It never fails.
func (m *MemoryReplay) Burn(_ context.Context, issuer, id string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.swept) > sweepEvery {
		m.swept = now
		for key, expiry := range m.used {
			if !expiry.IsZero() && expiry.Before(now) {
				delete(m.used, key)
			}
		}
	}
	key := [2]string{issuer, strings.Clone(id)} // or the whole token would stay in memory
	if _, used := m.used[key]; used {
		return false, nil
	}
	m.used[key] = until
	return true, nil
}
