package svcauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How a published key set is kept fresh.
const (
	jwksFetchTimeout  = 10 * time.Second       // for one fetch, body included
	jwksFirstWait     = 3 * time.Second        // how long a call may wait while there are no keys at all
	jwksMinRefresh    = time.Minute            // however short Cache-Control's max-age
	jwksMaxRefresh    = 15 * time.Minute       // however long
	jwksRefetchAfter  = time.Second            // between fetches on account of an unknown kid
	jwksFirstBackoff  = 500 * time.Millisecond // after a failed fetch, doubling
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
// never waits for the network.
type publishedKeys struct {
	issuer, url string
	client      *http.Client
	log         *slog.Logger
	now         func() time.Time
	wake        chan struct{} // asks run for a fetch before its time

	mu       sync.Mutex
	keys     keyMap
	fetched  time.Time     // when keys were last confirmed
	started  time.Time     // when the last fetch began
	finished chan struct{} // closed when the next fetch ends
	failing  bool
}

func newPublishedKeys(issuer, url string, client *http.Client, log *slog.Logger, now func() time.Time) *publishedKeys {
	strict := *client
	strict.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &publishedKeys{
		issuer: issuer, url: url, client: &strict, log: log.With("issuer", issuer, "url", url), now: now,
		wake: make(chan struct{}, 1), finished: make(chan struct{}),
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
		p.unknownKey()
	}
	return key, err
}

// current returns the keys that may be used now; where there are none, it asks for a fetch and returns its end.
func (p *publishedKeys) current() (keys keyMap, fetch <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys != nil && p.now().Sub(p.fetched) <= jwksMaxStale {
		return p.keys, nil
	}
	p.requestFetch()
	return nil, p.finished
}

// unknownKey asks for a fetch on account of a key that is not in the set, unless one was made just now: a flood of
// made-up key IDs is worth one fetch.
func (p *publishedKeys) unknownKey() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Sub(p.started) >= jwksRefetchAfter {
		p.requestFetch()
	}
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

// await waits, for a limited time, until the fetch under way has ended.
func (p *publishedKeys) await(ctx context.Context, finished <-chan struct{}) keyMap {
	timer := time.NewTimer(jwksFirstWait)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	case <-ctx.Done():
	}
	keys, _ := p.current()
	return keys
}

// run keeps the key set fresh until ctx ends.
func (p *publishedKeys) run(ctx context.Context) {
	backoff := jwksFirstBackoff
	for ctx.Err() == nil {
		wait, err := p.refresh(ctx)
		if err != nil {
			wait = backoff
			backoff = min(2*backoff, jwksMaxBackoff)
		} else {
			backoff = jwksFirstBackoff
		}
		p.pause(ctx, jitter(wait))
	}
}

// pause sleeps until the next refresh is due, or until one is asked for, but never less than jwksRefetchAfter.
func (p *publishedKeys) pause(ctx context.Context, wait time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(min(wait, jwksRefetchAfter)):
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait - min(wait, jwksRefetchAfter)):
	case <-p.wake:
	}
}

func jitter(d time.Duration) time.Duration {
	spread := int64(d) * jwksJitterPercent / 100
	return d - time.Duration(rand.Int64N(spread+1)) //nolint:gosec // spreads load, protects nothing
}

// refresh fetches the set once and returns how long it may be kept.
func (p *publishedKeys) refresh(ctx context.Context) (time.Duration, error) {
	p.mu.Lock()
	p.started = p.now()
	p.requestsServed()
	p.mu.Unlock()
	keys, maxAge, err := p.fetch(ctx)

	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.keys, p.fetched = keys, p.now()
		p.requestsServed()
	}
	close(p.finished)
	p.finished = make(chan struct{})
	if failing := err != nil; failing != p.failing && ctx.Err() == nil {
		p.failing = failing
		p.logChange(err)
	}
	return maxAge, err
}

func (p *publishedKeys) logChange(err error) {
	if err != nil {
		p.log.Warn("key set cannot be fetched", "error", err, "keys", len(p.keys), "keys_serve_for", jwksMaxStale)
		return
	}
	p.log.Info("key set is fetched again", "keys", len(p.keys))
}

func (p *publishedKeys) fetch(ctx context.Context) (keyMap, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, jwksFetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("making request: %w", err)
	}
	req.Close = true // a connection kept for the next fetch would idle until then, and outlive the verifier
	res, err := p.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("fetching: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("fetching: status %s", res.Status)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxJWKSBytes+1))
	if err != nil {
		return nil, 0, fmt.Errorf("reading: %w", err)
	}
	if len(data) > maxJWKSBytes {
		return nil, 0, fmt.Errorf("a key set of over %d bytes", maxJWKSBytes)
	}
	keys, skipped, err := parseJWKS(data)
	for _, fault := range skipped {
		p.log.Warn("key skipped", "error", fault)
	}
	return keys, keepFor(res.Header), err
}

// keepFor returns the max-age of Cache-Control (RFC 9111 section 5.2.2.1) within our bounds.
func keepFor(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		value, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age=")
		if !ok {
			continue
		}
		if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
			return min(max(time.Duration(seconds)*time.Second, jwksMinRefresh), jwksMaxRefresh)
		}
	}
	return jwksMinRefresh
}
