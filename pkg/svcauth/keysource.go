package svcauth

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// How a published key set is kept fresh.
const (
	jwksFirstWait     = 3 * time.Second        // how long a call may wait for the keys of an issuer that is new
	jwksMinRefresh    = time.Minute            // however short Cache-Control's max-age
	jwksMaxRefresh    = 15 * time.Minute       // however long
	jwksRefetchAfter  = 500 * time.Millisecond // after a fetch, at the least
	jwksKidsPause     = 10 * time.Second       // between fetches on account of kids that come up for the first time
	jwksKidsAgain     = 3                      // fetches in a row on account of kids that come up again
	jwksKidsRegain    = 30 * time.Second       // until there may be one more of them
	jwksKidsNoted     = 1 << 15                // how many kids are told apart
	jwksFirstBackoff  = time.Second            // after a failed fetch, at the least; doubling
	jwksMaxBackoff    = 30 * time.Second
	jwksMaxStale      = 24 * time.Hour // how long keys serve while the set cannot be fetched
	jwksJitterPercent = 10
)

var (
	errUnknownKey      = errors.New("the issuer has no such key")
	errKeysUnavailable = errors.New("the issuer's key set cannot be had")
)

// A keySource finds the keys of one issuer. Its errors are errUnknownKey and errKeysUnavailable.
type keySource interface {
	// lookup returns the key named kid. An empty kid stands for the issuer's one key.
	lookup(ctx context.Context, kid string) (publicKey, error)
}

func (m keyMap) lookup(_ context.Context, kid string) (publicKey, error) {
	if kid == "" && len(m) == 1 {
		for _, k := range m {
			return k, nil
		}
	}
	if k, ok := m[kid]; ok && kid != "" {
		return k, nil
	}
	return publicKey{}, errUnknownKey
}

// publishedKeys is the key set that an issuer publishes, fetched in the background by run. A call whose key is known
// never waits for the network, and of the others only those of the first moments do.
type publishedKeys struct {
	issuer, url string
	client      *http.Client
	log         *slog.Logger
	now         func() time.Time
	firstUntil  time.Time     // until when calls wait for the first keys
	wake        chan struct{} // asks run for a fetch before its time
	ended       chan struct{} // closed when run has ended

	mu       sync.Mutex
	keys     keyMap
	unknown  unknownKids
	skipped  []string      // why keys of the set cannot be used
	fetched  time.Time     // when keys were last confirmed
	started  time.Time     // when the last fetch began
	fetching bool          // it has not ended
	finished chan struct{} // closed when the next fetch ends
	fault    *fetchError   // of the last fetch
	fetches  uint64
	failures uint64
	inARow   uint64 // failures since the last success
}

func newPublishedKeys(issuer, url string, client *http.Client, log *slog.Logger, now func() time.Time) *publishedKeys {
	strict := *client
	strict.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &publishedKeys{
		issuer: issuer, url: url, client: &strict, log: log.With("issuer", issuer, "url", url), now: now,
		firstUntil: now().Add(jwksFirstWait), wake: make(chan struct{}, 1), ended: make(chan struct{}),
		unknown: unknownKids{seed: maphash.MakeSeed()}, finished: make(chan struct{}),
	}
}

func (p *publishedKeys) lookup(ctx context.Context, kid string) (publicKey, error) {
	keys, fetch := p.current()
	if keys == nil {
		if keys = p.await(ctx, fetch); keys == nil {
			return publicKey{}, errKeysUnavailable
		}
	}
	key, err := keys.lookup(ctx, kid)
	if err != nil {
		err = p.unknownKey(kid)
	}
	return key, err
}

// current returns the keys that may be used now; where there are none, it asks for a fetch and returns its end.
func (p *publishedKeys) current() (keys keyMap, fetch <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if keys := p.usable(); keys != nil {
		return keys, nil
	}
	p.requestFetch()
	return nil, p.finished
}

// usable returns the keys unless there are none or they are too old. p.mu is held.
func (p *publishedKeys) usable() keyMap {
	if p.now().Sub(p.fetched) > jwksMaxStale {
		return nil
	}
	return p.keys
}

// unknownKey asks for a fetch on account of a key that is not in the set, if it is worth one. While the set cannot be
// fetched nobody knows whether the issuer has the key.
func (p *publishedKeys) unknownKey(kid string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	underWay := p.fetching || len(p.wake) > 0
	if p.unknown.worthFetch(kid, now, !underWay && now.Sub(p.started) >= jwksRefetchAfter) {
		p.requestFetch()
	}
	if p.fault != nil {
		return errKeysUnavailable
	}
	return errUnknownKey
}

func (p *publishedKeys) requestFetch() {
	select {
	case p.wake <- struct{}{}:
	default: // asked for already
	}
}

// requestsServed forgets the requests that the fetch of this moment answers. p.mu is held.
func (p *publishedKeys) requestsServed() {
	select {
	case <-p.wake:
	default:
	}
}

// await waits, in the first moments, until the fetch under way has ended.
func (p *publishedKeys) await(ctx context.Context, finished <-chan struct{}) keyMap {
	timer := time.NewTimer(p.firstUntil.Sub(p.now()))
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	case <-ctx.Done():
	case <-p.ended:
	}
	keys, _ := p.current()
	return keys
}

// run keeps the key set fresh until ctx ends.
func (p *publishedKeys) run(ctx context.Context) {
	defer close(p.ended)
	backoff := jwksFirstBackoff
	for ctx.Err() == nil {
		if wait, ok := p.refresh(ctx); ok {
			backoff = jwksFirstBackoff
			p.pause(ctx, jwksRefetchAfter, jitter(wait))
		} else {
			p.pause(ctx, jitter(jwksFirstBackoff), jitter(backoff))
			backoff = min(2*backoff, jwksMaxBackoff)
		}
	}
}

// pause sleeps until the next refresh is due, or from least on until one is asked for.
func (p *publishedKeys) pause(ctx context.Context, least, wait time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(least):
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait - least):
	case <-p.wake:
	}
}

func jitter(d time.Duration) time.Duration {
	spread := int64(d) * jwksJitterPercent / 100
	return d - time.Duration(rand.Int64N(spread+1)) //nolint:gosec // spreads load, protects nothing
}

// refresh fetches the set once and returns how long it may be kept.
func (p *publishedKeys) refresh(ctx context.Context) (keep time.Duration, ok bool) {
	p.mu.Lock()
	p.started, p.fetching = p.now(), true
	p.fetches++
	p.requestsServed()
	p.mu.Unlock()
	set, fault := fetchKeys(ctx, p.client, p.url)

	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() {
		close(p.finished)
		p.finished, p.fetching = make(chan struct{}), false
	}()
	if fault != nil && ctx.Err() != nil {
		return 0, false // the end of the verifier, and no fault
	}
	p.noteFault(fault)
	p.noteSkipped(set.skipped)
	if fault != nil {
		return 0, false
	}
	p.keys, p.fetched = set.keys, p.now()
	p.requestsServed()
	return set.keep, true
}

// noteFault tells the operator when fetching begins to fail, fails in another way, or works again.
func (p *publishedKeys) noteFault(fault *fetchError) {
	switch {
	case fault != nil && (p.fault == nil || p.fault.cause != fault.cause):
		p.log.Warn("key set cannot be fetched", "error", fault, "keys", len(p.keys), "keys_serve_for", jwksMaxStale.String())
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

// noteSkipped tells the operator when other keys of the set than before cannot be used. A set that could not be read at
// all says nothing new of its keys.
func (p *publishedKeys) noteSkipped(skipped []string) {
	if p.fault != nil && len(skipped) == 0 || slices.Equal(p.skipped, skipped) {
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

func (p *publishedKeys) stats() KeySetStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := KeySetStats{
		Issuer: p.issuer, Keys: len(p.usable()), Skipped: len(p.skipped), Fetched: p.fetched,
		Fetches: p.fetches, Failures: p.failures,
	}
	if p.fault != nil {
		s.Cause, s.Fault = p.fault.cause, p.fault.Error()
	}
	return s
}
