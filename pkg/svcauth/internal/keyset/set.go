package keyset

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
)

// maxStale is how long keys are used after the last fetch that succeeded.
const maxStale = 24 * time.Hour

// The budget of fetches that calls cause. The calls are not authenticated yet, so all of them share
// one token bucket, whatever the state of the set.
const (
	budget         = 3                      // the most such fetches in a row
	budgetInterval = 30 * time.Second       // until there may be one more of them
	budgetReserve  = 2                      // of the budget, for unknown kids that were used before
	refetchAfter   = 500 * time.Millisecond // the least time between two fetches
	firstBackoff   = time.Second            // the least time after a failed fetch; it doubles
)

// The errors of [Set.Lookup].
var (
	ErrUnknownKey  = errors.New("the issuer has no such key")
	ErrUnavailable = errors.New("the issuer's key set is not available")
)

// A Set is the key set that an issuer publishes, fetched in the background. It is safe for
// concurrent use.
type Set struct {
	issuer, url string
	client      *http.Client
	log         *slog.Logger
	now         func() time.Time
	owner       *owner
	wake        chan struct{}      // tells run that a fetch is asked for
	ended       chan struct{}      // closed when run has ended
	stop        context.CancelFunc // ends run; nil until it begins

	mu       sync.Mutex
	keys     keys.Set // nil until the set is fetched
	unknown  unknownKids
	budget   tokenBucket
	waiting  int           // calls that wait for a fetch
	skipped  []string      // why keys of the set cannot be used
	fetched  time.Time     // when keys were last confirmed, by the verifier's clock
	fault    *fetchError   // of the last fetch
	asked    bool          // a fetch is asked for, and has not begun
	fetching bool          // a fetch is running
	began    time.Time     // when the last fetch began
	earliest time.Time     // when the next fetch may begin
	due      time.Time     // when the next fetch begins unless one is asked for earlier
	backoff  time.Duration // after the next failure
	finished chan struct{} // closed when the next fetch ends
	fetches  uint64
	failures uint64
	inARow   uint64 // failures since the last success
}

// newSet returns a set that is not fetched yet. now is the clock for the age of keys. All other
// times are those of the monotonic clock.
func newSet(issuer, url string, client *http.Client, log *slog.Logger, now func() time.Time) *Set {
	s := &Set{
		issuer: issuer, url: url, client: client, now: now, log: log.With("issuer", issuer, "url", url),
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
		unknown: unknownKids{seed: maphash.MakeSeed()},
		budget:  tokenBucket{size: budget, interval: budgetInterval},
		backoff: firstBackoff, finished: make(chan struct{}),
	}
	s.owner = &owner{issuer: issuer, drop: s.drop}
	return s
}

// usable returns the keys that may be used now; nil if no set was fetched, or the last one is too
// old.
func (s *Set) usable() keys.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fresh()
}

// fresh returns the keys that may be used now, as usable does. s.mu is held.
func (s *Set) fresh() keys.Set {
	if s.now().Sub(s.fetched) > maxStale {
		return nil
	}
	return s.keys
}

// drop removes a key from the set.
func (s *Set) drop(thumbprint, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := keys.Set{} // a copy, because calls may be reading s.keys
	for kid, key := range s.keys {
		if key.Thumbprint() != thumbprint {
			left[kid] = key
		}
	}
	s.keys = left
	s.skipped = append(s.skipped, reason)
	s.log.Warn("key skipped", "error", reason)
}

// Stats are the state of a key set. svcauth.KeySetStats, with the same fields, describes them.
type Stats struct {
	Issuer            string
	Keys, Skipped     int
	Fetched           time.Time
	Fetches, Failures uint64
	Cause, Fault      string
}

func (s *Set) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{
		Issuer: s.issuer, Keys: len(s.fresh()), Skipped: len(s.skipped), Fetched: s.fetched,
		Fetches: s.fetches, Failures: s.failures,
	}
	if s.fault != nil {
		stats.Cause, stats.Fault = s.fault.cause, s.fault.Error()
	}
	return stats
}
