package svcauth_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

func memoryBurn(t *testing.T, store svcauth.ReplayStore, issuer, id string, until time.Time) bool {
	t.Helper()
	first, err := store.Burn(t.Context(), issuer, id, until)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// A token of an issuer can be burnt once. Its record is deleted a minute after the token has
// expired.
func TestMemoryReplay(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := svcauth.NewMemoryReplay()
		soon, later := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
		for _, tt := range []struct {
			after      time.Duration
			issuer, id string
			until      time.Time
			first      bool
		}{
			{0, herald, "a", soon, true},
			{0, herald, "a", soon, false},
			{0, herald, "a", later, false},
			{0, shop, "a", later, true},
			{0, herald, "b", time.Time{}, true},
			{59 * time.Second, herald, "a", soon, false},
			{3 * time.Minute, herald, "a", later, true}, // the record has been deleted
			{0, shop, "a", later, false},
			{1000 * time.Hour, herald, "b", time.Time{}, false},
			{0, shop, "a", later, false}, // expired
			{0, shop, "a", later.Add(1000 * time.Hour), true},
		} {
			<-time.After(tt.after)
			if got := memoryBurn(t, store, tt.issuer, tt.id, tt.until); got != tt.first {
				t.Errorf("%v later, burning %q of %s: %t", tt.after, tt.id, tt.issuer, got)
			}
		}
	})
}

// An expired token cannot be burnt, because the record of its first use may have been deleted.
func TestMemoryReplayRefusesExpired(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := svcauth.NewMemoryReplay()
		until := time.Now().Add(time.Minute)
		<-time.After(time.Minute - time.Nanosecond)
		if !memoryBurn(t, store, herald, "a", until) {
			t.Error("refused in its last moment")
		}
		<-time.After(time.Nanosecond)
		if memoryBurn(t, store, herald, "b", until) || memoryBurn(t, store, herald, "c", until.Add(-time.Hour)) {
			t.Error("an expired token was burnt")
		}
	})
}

// The store uses the clock of the verifier, also when another store wraps it. It keeps the record
// of a token that becomes valid again when that clock is set back.
func TestMemoryReplayUsesVerifiersClock(t *testing.T) {
	t.Parallel()
	for _, start := range []time.Duration{-1000 * time.Hour, 1000 * time.Hour} {
		w := newWorld(t)
		w.now = w.now.Add(start)
		first, second := boundWrite(t, w), boundWrite(t, w)
		first.sign()
		first.mustPass()
		if a := first.send(); a.refusal == nil || a.refusal.Check != svcauth.CheckReplay {
			t.Errorf("%v: used twice: %d", start, a.status)
		}
		w.ahead.Store(int64(2 * time.Minute))
		second.claims.set("iat", seconds(w.now.Unix()+120))
		second.claims.set("exp", seconds(w.now.Unix()+180))
		second.sign()
		second.mustPass()
		w.ahead.Store(0)
		if a := first.send(); a.refusal == nil || a.refusal.Check != svcauth.CheckReplay {
			t.Errorf("%v: used again when the clock was set back: %d", start, a.status)
		}
	}
}

func TestMemoryReplayConcurrently(t *testing.T) {
	t.Parallel()
	store := svcauth.NewMemoryReplay()
	const tokens, workers = 1000, 8
	var passed atomic.Int32
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for id := range tokens {
				if memoryBurn(t, store, herald, strconv.Itoa(id), time.Now().Add(time.Minute)) {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := passed.Load(); n != tokens {
		t.Errorf("%d uses of %d tokens passed", n, tokens)
	}
}
