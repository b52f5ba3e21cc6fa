package svcauth

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// How a published key set is kept fresh.
const (
	jwksMinRefresh    = time.Minute            // however short Cache-Control's max-age
	jwksMaxRefresh    = 15 * time.Minute       // however long
	jwksRefetchAfter  = 500 * time.Millisecond // after a fetch, at the least
	jwksFirstBackoff  = time.Second            // after a failed fetch, at the least; doubling
	jwksMaxBackoff    = 30 * time.Second
	jwksJitterPercent = 10
)

// run keeps the key set fresh until ctx ends.
func (p *publishedKeys) run(ctx context.Context) {
	defer close(p.ended)
	for ctx.Err() == nil {
		p.refresh(ctx)
		p.pause(ctx)
	}
}

// pause sleeps until the next fetch is due, or until one is asked for and may begin.
func (p *publishedKeys) pause(ctx context.Context) {
	p.mu.Lock()
	earliest, due := p.earliest, p.due
	p.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(earliest)):
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(due)):
	case <-p.wake:
	}
}

func jitter(d time.Duration) time.Duration {
	spread := int64(d) * jwksJitterPercent / 100
	return d - time.Duration(rand.Int64N(spread+1)) //nolint:gosec // spreads load, protects nothing
}

// refresh fetches the set once. A set that was fetched and read replaces the one before, whatever
// is in it; while it cannot be, the one before serves for jwksMaxStale.
func (p *publishedKeys) refresh(ctx context.Context) {
	p.begin()
	set, fault := fetchKeys(ctx, p.client, p.url)

	p.owners.mu.Lock()
	defer p.owners.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.end()
	if ctx.Err() != nil {
		return // the trust file does not name the set any more, or the verifier was closed
	}
	p.schedule(time.Now(), set.keep, fault == nil)
	p.noteFault(fault)
	if fault != nil {
		return
	}
	p.noteSkipped(append(set.skipped, p.owners.claim(p, set.keys)...))
	p.noteEmpty(set.keys)
	p.keys, p.fetched = set.keys, p.now()
}

// begin notes that a fetch begins, which answers all that asked for one.
func (p *publishedKeys) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.fetching, p.asked = time.Now(), true, false
	p.fetches++
	select {
	case <-p.wake:
	default:
	}
}

// end tells those that wait that the fetch has ended. p.mu is held.
func (p *publishedKeys) end() {
	close(p.finished)
	p.finished, p.fetching = make(chan struct{}), false
}

// schedule sets the time of the next fetch: when the set has to be fetched again, or after a
// failure by exponential backoff with jitter. A fetch that was asked for and failed leaves the
// backoff as it was. p.mu is held.
func (p *publishedKeys) schedule(now time.Time, keep time.Duration, ok bool) {
	if ok {
		p.backoff = jwksFirstBackoff
		p.earliest, p.due = now.Add(jwksRefetchAfter), now.Add(jitter(keep))
		return
	}
	p.earliest = now.Add(jitter(jwksFirstBackoff))
	if next := now.Add(jitter(p.backoff)); !p.due.After(now) || p.due.After(next) {
		p.due = next
		p.backoff = min(2*p.backoff, jwksMaxBackoff)
	}
}

// noteFault tells the operator when fetching begins to fail, fails in another way, or works again.
func (p *publishedKeys) noteFault(fault *fetchError) {
	switch {
	case fault != nil && (p.fault == nil || p.fault.cause != fault.cause):
		p.log.Warn("key set cannot be fetched",
			"error", fault, "keys", len(p.keys), "keys_serve_for", jwksMaxStale.String())
	case fault == nil && p.fault != nil:
		p.log.Info("key set is fetched again", "failures", p.inARow)
	}
	if p.fault = fault; fault != nil {
		p.failures++
		p.inARow++
	} else {
		p.inARow = 0
	}
}

// noteSkipped tells the operator when other keys of the set than before cannot be used.
func (p *publishedKeys) noteSkipped(skipped []string) {
	if slices.Equal(p.skipped, skipped) {
		return
	}
	p.skipped = skipped
	if len(skipped) == 0 {
		p.log.Info("no key of the set is skipped any more")
	}
	for _, fault := range skipped {
		p.log.Warn("key skipped", "error", fault)
	}
}

// noteEmpty tells the operator when the set has no key any more, so that all calls of the issuer
// are refused, or has some again.
func (p *publishedKeys) noteEmpty(keys keyMap) {
	switch before, some := len(p.keys) > 0, len(keys) > 0; {
	case !some && (before || p.keys == nil):
		p.log.Warn("key set has no usable key", "keys_before", len(p.keys))
	case some && !before && p.keys != nil:
		p.log.Info("key set has usable keys again", "keys", len(keys))
	}
}
