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
	// slowUse is how long a domain uses a connection until it counts as slow.
	slowUse = 500 * time.Millisecond
	// checkInterval is the time between two checks whether a waiting mail is rejected.
	checkInterval = 500 * time.Millisecond
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
	perDomain int                 // the maximum for one domain
	inUse     map[string][]*place // by domain, in the order of the grants
	waiting   []*place            // in the order of arrival
	maxQueue  int                 // above this number, mails to a slow domain are rejected
}

// A place is the place of a mail that waits for a connection, and then uses one.
type place struct {
	domain  string
	since   time.Time // when it began to wait or, when granted is closed, to use the connection
	granted chan struct{}
}

func newLimiter(connections int) *limiter {
	return &limiter{
		free: connections, perDomain: max(1, connections*3/4), inUse: map[string][]*place{}, maxQueue: max(1, connections/2),
	}
}

// acquire waits until a connection may be used for a domain. A call of release ends the use. The
// error is ctx's own or a *BusyError. Each waiting caller occupies a worker. When more callers wait
// than maxQueue, those of the domain with the most waiting callers are rejected if it is slow.
func (l *limiter) acquire(ctx context.Context, domain string) (*place, error) {
	p, busy := l.enqueue(domain)
	if busy != nil {
		return nil, busy
	}
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-p.granted:
			return p, nil
		case <-ctx.Done():
			l.cancel(p)
			return nil, ctx.Err()
		case <-ticker.C:
			if busy := l.reject(p); busy != nil {
				return nil, busy
			}
		}
	}
}

// enqueue adds a caller to the queue, unless its domain is overloaded.
func (l *limiter) enqueue(domain string) (*place, *BusyError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if busy := l.overloaded(domain); busy != nil {
		return nil, busy
	}
	p := &place{domain, time.Now(), make(chan struct{})}
	l.waiting = append(l.waiting, p)
	l.grant()
	return p, nil
}

// reject removes a caller from the queue when its domain is overloaded. It returns nil when the
// caller may continue to wait, or has a connection.
func (l *limiter) reject(p *place) *BusyError {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, p)
	if i < 0 {
		return nil
	}
	busy := l.overloaded(p.domain)
	if busy != nil {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return busy
}

// overloaded returns an error when the queue is longer than maxQueue, no other domain has more
// waiting callers, and the domain is slow. The caller must hold mu.
func (l *limiter) overloaded(domain string) *BusyError {
	uses := l.inUse[domain]
	if len(l.waiting) <= l.maxQueue || !busyFor(slowUse, uses) {
		return nil
	}
	counts := map[string]int{}
	for _, p := range l.waiting {
		counts[p.domain]++
	}
	if counts[domain] < slices.Max(slices.Collect(maps.Values(counts))) {
		return nil
	}
	pause := min(max(2*time.Since(uses[0].since), minBusyPause), maxBusyPause)
	return &BusyError{RetryAfter: pause + rand.N(pause/4)} //nolint:gosec // jitter needs no secure random numbers
}

// busyFor is what [Sender.BusyFor] returns.
func (l *limiter) busyFor(d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return busyFor(d, slices.Collect(maps.Values(l.inUse))...)
}

// busyFor reports whether half of the uses, or more, have lasted for d. It returns false when there
// are none.
func busyFor(d time.Duration, uses ...[]*place) bool {
	now, long, short := time.Now(), 0, 0
	for _, places := range uses {
		for _, p := range places {
			if now.Sub(p.since) >= d {
				long++
			} else {
				short++
			}
		}
	}
	return long > 0 && long >= short
}

// cancel removes a caller from the queue, or frees the connection that it was granted meanwhile.
func (l *limiter) cancel(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, p); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return
	}
	l.put(p)
}

// release ends the use of a connection.
func (l *limiter) release(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(p)
}

// put ends a use and grants the connection to a waiting caller. The caller must hold mu.
func (l *limiter) put(p *place) {
	uses := l.inUse[p.domain]
	i := slices.Index(uses, p)
	l.inUse[p.domain] = slices.Delete(uses, i, i+1)
	if len(uses) == 1 {
		delete(l.inUse, p.domain)
	}
	l.free++
	l.grant()
}

// grant assigns the free connections to waiting callers. The caller must hold mu.
func (l *limiter) grant() {
	for l.free > 0 {
		next := -1
		for i, p := range l.waiting {
			used := len(l.inUse[p.domain])
			if used < l.perDomain && (next < 0 || used < len(l.inUse[l.waiting[next].domain])) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		p := l.waiting[next]
		l.waiting = slices.Delete(l.waiting, next, next+1)
		l.free--
		p.since = time.Now()
		l.inUse[p.domain] = append(l.inUse[p.domain], p)
		close(p.granted)
	}
}
