package keyset

import (
	"context"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
)

const (
	maxWait    = 3 * time.Second // of a call for a fetch, from the call and from the fetch's beginning
	maxWaiting = 256             // calls that wait at a time
)

// Lookup returns the key named kid. An empty kid stands for the issuer's one key. A call whose key
// is known, or not in the set, never waits for the network. A call that finds no set waits up to
// three seconds for a fetch that is under way or about to begin. The error is [ErrUnknownKey], or
// [ErrUnavailable] if there is no set that may be used, or the last fetch failed.
func (s *Set) Lookup(ctx context.Context, kid string) (keys.Public, error) {
	set := s.usable()
	if set == nil {
		if set = s.await(ctx); set == nil {
			return keys.Public{}, ErrUnavailable
		}
	}
	key, ok := set.Find(kid)
	if !ok {
		return key, s.unknownKey(kid)
	}
	return key, nil
}

// await waits for the end of the next fetch, if it can end in time, and returns the keys that may
// be used then.
func (s *Set) await(ctx context.Context) keys.Set {
	finished, until := s.join()
	if finished == nil {
		return s.usable()
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	case <-ctx.Done():
	case <-s.ended:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	return s.fresh()
}

// join asks for a fetch within the budget, and counts the call as waiting. It returns the channel
// that the call waits for, and until when. The channel is nil if the call must not wait.
func (s *Set) join() (finished <-chan struct{}, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.fresh() != nil || s.waiting >= maxWaiting {
		return nil, now
	}
	s.askForFetch(now, 0)
	begins, until := s.due, now.Add(maxWait)
	switch {
	case s.fetching:
		begins, until = s.began, s.began.Add(maxWait)
	case s.asked:
		begins = s.earliest
	}
	if !begins.Before(until) || !until.After(now) {
		return nil, now
	}
	s.waiting++
	return s.finished, until
}

// unknownKey asks for a fetch because of a key that is not in the set, and returns the call's
// error. Kids that are used for the first time leave a part of the budget to those that were used
// before. While the set cannot be fetched, it is unknown whether the issuer has the key.
func (s *Set) unknownKey(kid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	reserve := float64(budgetReserve)
	if s.unknown.note(kid) {
		reserve = 0
	}
	if now := time.Now(); now.Sub(s.began) >= refetchAfter {
		s.askForFetch(now, reserve)
	}
	if s.fault != nil {
		return ErrUnavailable
	}
	return ErrUnknownKey
}

// askForFetch asks run for a fetch before its time, unless one is under way or due soon, or no more
// than reserve of the budget is left. s.mu is held.
func (s *Set) askForFetch(now time.Time, reserve float64) {
	soon := now.Add(firstBackoff)
	if s.earliest.After(now) {
		soon = s.earliest.Add(firstBackoff)
	}
	if s.fetching || s.asked || !s.due.After(soon) || !s.budget.take(now, reserve) {
		return
	}
	s.asked = true
	select {
	case s.wake <- struct{}{}:
	default: // run has not received the signal before, and will begin a fetch
	}
}
