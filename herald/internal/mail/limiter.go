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

// The timing of the limiter.
const (
	// longWait is how long a mail waits until it can be rejected. On an overloaded CPU, mails to
	// fast domains wait for a second, too.
	longWait = 2 * time.Second
	// The bounds of BusyError.RetryAfter, without jitter.
	minBusyPause = time.Second
	maxBusyPause = time.Minute
)

// A BusyError says that too many mails wait for connections to a slow domain. Further ones would
// delay mail to other domains. Nothing was sent.
type BusyError struct {
	// RetryAfter is the recommended pause before a retry.
	RetryAfter time.Duration
}

// Error implements error.
func (e *BusyError) Error() string {
	return fmt.Sprintf("too much mail waits for a slow domain: try again after %v", e.RetryAfter)
}

// A limiter limits the open connections and divides them fairly between domains. A free connection
// goes to the waiting domain that uses the fewest. No domain uses more than three quarters, so that
// a slow domain does not delay the others. It is safe for concurrent use.
type limiter struct {
	mu        sync.Mutex
	free      int
	perDomain int            // the maximum for one domain
	inUse     map[string]int // by domain
	waiting   []*waiter      // in the order of arrival
	maxQueue  int            // above this number, callers that wait for long can be rejected
}

// A waiter is a caller that waits for a connection.
type waiter struct {
	domain  string
	since   time.Time
	granted chan struct{}
}

func newLimiter(connections int) *limiter {
	return &limiter{
		free: connections, perDomain: max(1, connections*3/4), inUse: map[string]int{}, maxQueue: max(1, connections/2),
	}
}

// acquire waits until a connection may be used for a domain. The error is ctx's own or a
// *BusyError. Each waiting caller occupies a worker. When more callers wait than maxQueue, those of
// the domain with the most waiting callers are rejected after longWait.
func (l *limiter) acquire(ctx context.Context, domain string) error {
	w, busy := l.enqueue(domain)
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
			l.cancel(w)
			return ctx.Err()
		case <-ticker.C:
			if busy := l.reject(w); busy != nil {
				return busy
			}
		}
	}
}

// enqueue adds a caller to the queue, unless its domain is overloaded.
func (l *limiter) enqueue(domain string) (*waiter, *BusyError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if busy := l.overloaded(domain); busy != nil {
		return nil, busy
	}
	w := &waiter{domain, time.Now(), make(chan struct{})}
	l.waiting = append(l.waiting, w)
	l.grant()
	return w, nil
}

// reject removes a caller from the queue when its domain is overloaded. It returns nil when the
// caller may continue to wait, or has a connection.
func (l *limiter) reject(w *waiter) *BusyError {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, w)
	if i < 0 {
		return nil
	}
	busy := l.overloaded(w.domain)
	if busy != nil {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return busy
}

// overloaded returns an error when the queue is longer than maxQueue, no other domain has more
// waiting callers, and a caller of the domain has waited for longWait. The caller must hold mu.
func (l *limiter) overloaded(domain string) *BusyError {
	if len(l.waiting) <= l.maxQueue {
		return nil
	}
	counts, longest := map[string]int{}, time.Duration(0)
	for _, w := range l.waiting {
		counts[w.domain]++
		if w.domain == domain {
			longest = max(longest, time.Since(w.since))
		}
	}
	if longest < longWait || counts[domain] < slices.Max(slices.Collect(maps.Values(counts))) {
		return nil
	}
	pause := min(max(2*longest, minBusyPause), maxBusyPause)
	return &BusyError{RetryAfter: pause + rand.N(pause/4)} //nolint:gosec // jitter needs no secure random numbers
}

// cancel removes a caller from the queue, or frees the connection that it was granted meanwhile.
func (l *limiter) cancel(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, w); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return
	}
	l.put(w.domain)
}

// release frees a connection of a domain.
func (l *limiter) release(domain string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(domain)
}

// put frees a connection and grants it to a waiting caller. The caller must hold mu.
func (l *limiter) put(domain string) {
	l.free++
	l.inUse[domain]--
	if l.inUse[domain] == 0 {
		delete(l.inUse, domain)
	}
	l.grant()
}

// grant assigns the free connections to waiting callers. The caller must hold mu.
func (l *limiter) grant() {
	for l.free > 0 {
		next := -1
		for i, w := range l.waiting {
			used := l.inUse[w.domain]
			if used < l.perDomain && (next < 0 || used < l.inUse[l.waiting[next].domain]) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		w := l.waiting[next]
		l.waiting = slices.Delete(l.waiting, next, next+1)
		l.free--
		l.inUse[w.domain]++
		close(w.granted)
	}
}
