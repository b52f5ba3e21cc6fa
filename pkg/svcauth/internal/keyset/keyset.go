// Package keyset fetches the key sets that other services publish, and keeps them fresh. A key
// belongs to one issuer. Calls that name unknown keys cause a bounded number of fetches.
package keyset

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Sets are the key sets that one verifier fetches. [Sets.Stats] is safe for concurrent use, the
// other methods are not.
type Sets struct {
	client *http.Client
	log    *slog.Logger
	now    func() time.Time
	owners owners
	ctx    context.Context //nolint:containedctx // of the work in the background; Close ends it
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	byIssuer map[string]*Set
}

// NewSets returns an empty Sets. Key sets are fetched with client, without following redirects. now
// is the clock for the age of keys.
func NewSets(client *http.Client, log *slog.Logger, now func() time.Time) *Sets {
	strict := *client
	strict.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &Sets{client: &strict, log: log, now: now}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Close ends all fetching and waits for its end. Lookups still use the keys that were fetched.
func (s *Sets) Close() {
	s.stop()
	s.work.Wait()
}

// Replace replaces the sets by those of urls, by issuer, and calls commit with them. A set whose
// issuer and URL are unchanged is kept. The keys of key files, by thumbprint, are pinned to their
// issuers. All keys change owners when commit is called.
func (s *Sets) Replace(urls, pinned map[string]string, commit func(map[string]*Set)) {
	next := make(map[string]*Set, len(urls))
	for issuer, url := range urls {
		next[issuer] = s.byIssuer[issuer]
		if next[issuer] == nil || next[issuer].url != url {
			next[issuer] = newSet(issuer, url, s.client, s.log, s.now)
		}
	}
	s.swap(next, pinned, commit)
	for _, set := range next {
		if set.stop == nil {
			var ctx context.Context
			ctx, set.stop = context.WithCancel(s.ctx)
			s.work.Go(func() { set.run(ctx, &s.owners) })
		}
	}
}

// swap replaces the sets by next, and stops those that are not in it.
func (s *Sets) swap(next map[string]*Set, pinned map[string]string, commit func(map[string]*Set)) {
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	s.owners.pin(pinned)
	commit(next)
	for issuer, set := range s.byIssuer {
		if next[issuer] != set {
			set.stop()
			s.owners.release(set.owner)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byIssuer = next
}

// Stats returns the state of each set, sorted by issuer.
func (s *Sets) Stats() []Stats {
	s.mu.Lock()
	sets := slices.Collect(maps.Values(s.byIssuer))
	s.mu.Unlock()
	stats := make([]Stats, 0, len(sets))
	for _, set := range sets {
		stats = append(stats, set.stats())
	}
	slices.SortFunc(stats, func(a, b Stats) int { return cmp.Compare(a.Issuer, b.Issuer) })
	return stats
}
