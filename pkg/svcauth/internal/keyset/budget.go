package keyset

import "time"

// The budget of fetches that calls cause. The calls are not authenticated yet, so all of them share
// one token bucket, whatever the state of the set.
const (
	budget         = 3                      // the most such fetches in a row
	budgetInterval = 30 * time.Second       // until there may be one more of them
	budgetReserve  = 2                      // of the budget, for unknown kids that were used before
	refetchAfter   = 500 * time.Millisecond // the least time between two fetches
	firstBackoff   = time.Second            // the least time after a failed fetch; it doubles
)

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
	default: // run has not received the last one, and begins a fetch all the same
	}
}
