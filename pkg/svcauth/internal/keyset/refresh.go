package keyset

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
)

const (
	maxBackoff    = 30 * time.Second // after a failed fetch
	jitterPercent = 10
)

// run keeps the key set fresh until ctx ends.
func (s *Set) run(ctx context.Context, owners *owners) {
	defer close(s.ended)
	for ctx.Err() == nil {
		s.refresh(ctx, owners)
		s.pause(ctx)
	}
}

// pause sleeps until the next fetch is due, or until one is asked for and may begin.
func (s *Set) pause(ctx context.Context) {
	s.mu.Lock()
	earliest, due := s.earliest, s.due
	s.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(earliest)):
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(due)):
	case <-s.wake:
	}
}

func jitter(d time.Duration) time.Duration {
	spread := int64(d) * jitterPercent / 100
	return d - time.Duration(rand.Int64N(spread+1)) //nolint:gosec // spreads load, protects nothing
}

// refresh fetches the set once. A set that was fetched and read replaces the one before, whatever
// it contains. After a failure the one before is used for maxStale.
func (s *Set) refresh(ctx context.Context, owners *owners) {
	s.begin()
	set, fault := fetch(ctx, s.client, s.url)

	owners.mu.Lock()
	defer owners.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.end()
	if ctx.Err() != nil {
		return // the policy no longer names the set, or the verifier is closed
	}
	s.schedule(time.Now(), set.keep, fault == nil)
	s.noteFault(fault)
	if fault != nil {
		return
	}
	s.noteSkipped(append(set.skipped, owners.claim(s.owner, set.keys)...))
	s.noteEmpty(set.keys)
	s.keys, s.fetched = set.keys, s.now()
}

// begin records that a fetch begins. This fetch serves all requests for one.
func (s *Set) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began, s.fetching, s.asked = time.Now(), true, false
	s.fetches++
	select {
	case <-s.wake:
	default:
	}
}

// end wakes the calls that wait for the fetch. s.mu is held.
func (s *Set) end() {
	close(s.finished)
	s.finished, s.fetching = make(chan struct{}), false
}

// schedule sets the time of the next fetch: after keep, or after a failure by exponential backoff
// with jitter. A failed fetch that was asked for before its time leaves the backoff unchanged. s.mu
// is held.
func (s *Set) schedule(now time.Time, keep time.Duration, ok bool) {
	if ok {
		s.backoff = firstBackoff
		s.earliest, s.due = now.Add(refetchAfter), now.Add(jitter(keep))
		return
	}
	s.earliest = now.Add(jitter(firstBackoff))
	if next := now.Add(jitter(s.backoff)); !s.due.After(now) || s.due.After(next) {
		s.due = next
		s.backoff = min(2*s.backoff, maxBackoff)
	}
}

// noteFault logs when fetching begins to fail, fails for another cause, or works again.
func (s *Set) noteFault(fault *fetchError) {
	switch {
	case fault != nil && (s.fault == nil || s.fault.cause != fault.cause):
		s.log.Warn("key set cannot be fetched",
			"error", fault, "keys", len(s.keys), "keys_serve_for", maxStale.String())
	case fault == nil && s.fault != nil:
		s.log.Info("key set is fetched again", "failures", s.inARow)
	}
	if s.fault = fault; fault != nil {
		s.failures++
		s.inARow++
	} else {
		s.inARow = 0
	}
}

// noteSkipped logs the keys of the set that cannot be used, if they are not those of the last
// fetch.
func (s *Set) noteSkipped(skipped []string) {
	if slices.Equal(s.skipped, skipped) {
		return
	}
	s.skipped = skipped
	if len(skipped) == 0 {
		s.log.Info("no key of the set is skipped any more")
	}
	for _, fault := range skipped {
		s.log.Warn("key skipped", "error", fault)
	}
}

// noteEmpty logs when the set has no usable key any more, so that all calls of the issuer are
// refused, and when it has one again.
func (s *Set) noteEmpty(set keys.Set) {
	switch before, some := len(s.keys) > 0, len(set) > 0; {
	case !some && (before || s.keys == nil):
		s.log.Warn("key set has no usable key", "keys_before", len(s.keys))
	case some && !before && s.keys != nil:
		s.log.Info("key set has usable keys again", "keys", len(set))
	}
}
