package svcauth

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// How calls bring about fetches of a published key set, and wait for them.
const (
	jwksMaxStale     = 24 * time.Hour   // how long keys serve after the last fetch
	jwksMaxWait      = 3 * time.Second  // for a fetch, from the call and from its beginning
	jwksMaxWaiting   = 256              // how many calls wait at a time
	jwksBudget       = 3                // fetches that calls bring about, in a row
	jwksBudgetRegain = 30 * time.Second // until there may be one more of them
	jwksKidsReserve  = 2                // of the budget, for kids that come up again
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

// publishedKeys is the key set that an issuer publishes, fetched in the background by run. A call
// whose key is known never waits for the network, and neither does one whose key is not in the set;
// one that finds no set waits for a fetch that is under way or about to begin.
//
// Calls can bring about fetches before their time. Who makes them is not known yet, so all of them
// share one budget, a token bucket, whatever the state of the set. Its times are those of the
// monotonic clock, and not the verifier's.
type publishedKeys struct {
	issuer, url string
	client      *http.Client
	log         *slog.Logger
	now         func() time.Time
	owners      *keyOwners
	wake        chan struct{}      // tells run that a fetch is asked for
	ended       chan struct{}      // closed when run has ended
	stop        context.CancelFunc // ends run; nil until it begins

	mu       sync.Mutex
	keys     keyMap // nil until the set is fetched
	unknown  unknownKids
	budget   tokenBucket
	waiting  int           // calls that wait for a fetch
	skipped  []string      // why keys of the set cannot be used
	fetched  time.Time     // when keys were last confirmed, by the verifier's clock
	fault    *fetchError   // of the last fetch
	asked    bool          // a fetch is asked for, and has not begun
	fetching bool          // one is under way
	began    time.Time     // when the last fetch began
	earliest time.Time     // when the next fetch may begin
	due      time.Time     // when it begins unless it is asked for before
	backoff  time.Duration // after the next failure
	finished chan struct{} // closed when the next fetch ends
	fetches  uint64
	failures uint64
	inARow   uint64 // failures since the last success
}

func newPublishedKeys(
	issuer, url string, client *http.Client, log *slog.Logger, now func() time.Time, owners *keyOwners,
) *publishedKeys {
	strict := *client
	strict.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &publishedKeys{
		issuer: issuer, url: url, client: &strict, now: now, owners: owners,
		log:  log.With("issuer", issuer, "url", url),
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
		unknown: unknownKids{seed: maphash.MakeSeed()},
		budget:  tokenBucket{size: jwksBudget, interval: jwksBudgetRegain},
		backoff: jwksFirstBackoff, finished: make(chan struct{}),
	}
}

func (p *publishedKeys) lookup(ctx context.Context, kid string) (publicKey, error) {
	keys := p.usable()
	if keys == nil {
		if keys = p.await(ctx); keys == nil {
			return publicKey{}, errKeysUnavailable
		}
	}
	key, err := keys.lookup(ctx, kid)
	if err != nil {
		err = p.unknownKey(kid)
	}
	return key, err
}

// usable returns the keys that may be used now; nil where no set was fetched, or the last one is
// too old.
func (p *publishedKeys) usable() keyMap {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fresh()
}

// fresh returns the keys unless there are none or they are too old. p.mu is held.
func (p *publishedKeys) fresh() keyMap {
	if p.now().Sub(p.fetched) > jwksMaxStale {
		return nil
	}
	return p.keys
}

// await waits for the end of the next fetch, where it can be had in time, and returns the keys that
// may be used then.
func (p *publishedKeys) await(ctx context.Context) keyMap {
	finished, until := p.join()
	if finished == nil {
		return p.usable()
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	case <-ctx.Done():
	case <-p.ended:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
	return p.fresh()
}

// join makes a call one of those that wait, after it has asked for a fetch within the budget. It
// returns what the call waits for, and until when; nil where it must not wait.
func (p *publishedKeys) join() (finished <-chan struct{}, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.fresh() != nil || p.waiting >= jwksMaxWaiting {
		return nil, now
	}
	p.askForFetch(now, 0)
	begins, until := p.due, now.Add(jwksMaxWait)
	switch {
	case p.fetching:
		begins, until = p.began, p.began.Add(jwksMaxWait)
	case p.asked:
		begins = p.earliest
	}
	if !begins.Before(until) || !until.After(now) {
		return nil, now
	}
	p.waiting++
	return p.finished, until
}

// unknownKey asks for a fetch on account of a key that is not in the set, if it is worth one: of
// the budget, kids that come up for the first time leave a part to those that come up again. While
// the set cannot be fetched nobody knows whether the issuer has the key.
func (p *publishedKeys) unknownKey(kid string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	reserve := float64(jwksKidsReserve)
	if p.unknown.note(kid) {
		reserve = 0
	}
	if now := time.Now(); now.Sub(p.began) >= jwksRefetchAfter {
		p.askForFetch(now, reserve)
	}
	if p.fault != nil {
		return errKeysUnavailable
	}
	return errUnknownKey
}

// askForFetch asks run for a fetch before its time, unless one is under way or due soon, or the
// budget is spent but for reserve. p.mu is held.
func (p *publishedKeys) askForFetch(now time.Time, reserve float64) {
	soon := now.Add(jwksFirstBackoff)
	if p.earliest.After(now) {
		soon = p.earliest.Add(jwksFirstBackoff)
	}
	if p.fetching || p.asked || !p.due.After(soon) || !p.budget.take(now, reserve) {
		return
	}
	p.asked = true
	select {
	case p.wake <- struct{}{}:
	default: // run has not seen the one before, and will begin a fetch all the same
	}
}

// drop takes a key out of the set.
func (p *publishedKeys) drop(thumbprint, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := keyMap{} // calls may be reading the other
	for kid, key := range p.keys {
		if key.thumbprint != thumbprint {
			keys[kid] = key
		}
	}
	p.keys = keys
	p.skipped = append(p.skipped, why)
	p.log.Warn("key skipped", "error", why)
}

func (p *publishedKeys) stats() KeySetStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := KeySetStats{
		Issuer: p.issuer, Keys: len(p.fresh()), Skipped: len(p.skipped), Fetched: p.fetched,
		Fetches: p.fetches, Failures: p.failures,
	}
	if p.fault != nil {
		s.Cause, s.Fault = p.fault.cause, p.fault.Error()
	}
	return s
}
