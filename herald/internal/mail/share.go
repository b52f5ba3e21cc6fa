package mail

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// How the connections are shared between recipients' domains.
const (
	// longWait is how long mail may wait before it can be turned away.
	longWait = 500 * time.Millisecond
	// The pause that a BusyError asks for.
	minBusyPause = time.Second
	maxBusyPause = time.Minute
)

// A BusyError says that so much mail waits for connections to a slow domain that more would hold up
// the mail for others. Nothing was sent.
type BusyError struct {
	// RetryAfter is a good time to try again.
	RetryAfter time.Duration
}

// Error implements error.
func (e *BusyError) Error() string {
	return fmt.Sprintf("too much mail waits for a slow domain: try again after %v", e.RetryAfter)
}

// A share shares a number of connections between domains: one that becomes free goes to the domain
// that uses the fewest, and no domain uses more than three quarters, so that a slow one does not
// hold up the others.
type share struct {
	mu        sync.Mutex
	free      int
	perDomain int            // the most that a domain may use
	inUse     map[string]int // by domain
	waiting   []*waiter      // in the order of their arrival
	queue     int            // how many may wait for long
}

// A waiter waits for a connection.
type waiter struct {
	domain  string
	since   time.Time
	granted chan struct{}
}

func newShare(connections int) *share {
	return &share{
		free: connections, perDomain: max(1, connections*3/4), inUse: map[string]int{}, queue: connections,
	}
}

// acquire waits until a connection may be used for a domain. The error is ctx's own or a *BusyError:
// when more wait than the bound, those for the domain that most wait for are turned away, after a
// while, as each keeps a worker from other mail.
func (s *share) acquire(ctx context.Context, domain string) error {
	w, busy := s.enter(domain)
	if busy != nil {
		return busy
	}
	ticker := time.NewTicker(longWait)
	defer ticker.Stop()
	for {
		select {
		case <-w.granted:
			return nil
		case <-ctx.Done():
			s.leave(w)
			return ctx.Err()
		case <-ticker.C:
			if busy := s.turnAway(w); busy != nil {
				return busy
			}
		}
	}
}

func (s *share) enter(domain string) (*waiter, *BusyError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if busy := s.crowded(domain); busy != nil {
		return nil, busy
	}
	w := &waiter{domain, time.Now(), make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.grant()
	return w, nil
}

// turnAway ends a wait, unless it has been granted, where too many wait for the same.
func (s *share) turnAway(w *waiter) *BusyError {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting, w)
	if i < 0 {
		return nil
	}
	busy := s.crowded(w.domain)
	if busy != nil {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	return busy
}

// crowded returns an error when as many wait as may, no other domain has more who wait, and they
// have waited for long. s.mu is held.
func (s *share) crowded(domain string) *BusyError {
	if len(s.waiting) <= s.queue {
		return nil
	}
	counts, longest := map[string]int{}, time.Duration(0)
	for _, w := range s.waiting {
		counts[w.domain]++
		if w.domain == domain {
			longest = max(longest, time.Since(w.since))
		}
	}
	if longest < longWait || counts[domain] < slices.Max(slices.Collect(maps.Values(counts))) {
		return nil
	}
	pause := min(max(2*longest, minBusyPause), maxBusyPause)
	return &BusyError{RetryAfter: pause + rand.N(pause/4)} //nolint:gosec // spreads load, protects nothing
}

// leave takes back a wait, or what it was granted meanwhile.
func (s *share) leave(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, w); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		return
	}
	s.put(w.domain)
}

func (s *share) release(domain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(domain)
}

// put takes a connection back. s.mu is held.
func (s *share) put(domain string) {
	s.free++
	s.inUse[domain]--
	if s.inUse[domain] == 0 {
		delete(s.inUse, domain)
	}
	s.grant()
}

// grant gives the free connections to those who wait. s.mu is held.
func (s *share) grant() {
	for s.free > 0 {
		next := -1
		for i, w := range s.waiting {
			used := s.inUse[w.domain]
			if used < s.perDomain && (next < 0 || used < s.inUse[s.waiting[next].domain]) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		w := s.waiting[next]
		s.waiting = slices.Delete(s.waiting, next, next+1)
		s.free--
		s.inUse[w.domain]++
		close(w.granted)
	}
}
