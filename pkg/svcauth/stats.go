package svcauth

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are a verifier's counters and the state of its trust and key sets, for metrics. All counts
// begin with the verifier.
type Stats struct {
	// Calls are the counts of calls by issuer and result, without those that are zero.
	Calls []CallCount
	// KeySets are the key sets that the trust policy says to fetch, by issuer.
	KeySets []KeySetStats
	// TrustFault is why the trust file on disk is not the one in force; empty if it is.
	TrustFault string
}

// A CallCount is the count of calls of one issuer with one result.
type CallCount struct {
	// Issuer is the token's issuer. It is empty for a token that cannot be read, or whose issuer
	// was never in the trust policy.
	Issuer string
	// Refused is the check that refused the calls; empty if they were let in.
	Refused Check
	// Count is the number of calls.
	Count uint64
}

// KeySetStats are the state of one issuer's published key set.
type KeySetStats struct {
	// Issuer publishes the set.
	Issuer string
	// Keys is how many keys can be used now: 0 when no set could be fetched, the last one is too
	// old to be trusted, or the set that was fetched has no key that can be used. In the last case
	// the fetch did not fail: Cause is empty. Skipped is how many keys of the set cannot be used,
	// those that belong to another issuer included.
	Keys, Skipped int
	// Fetched is the time of the last fetch that succeeded; zero for never.
	Fetched time.Time
	// Fetches and Failures count the fetches, and those that brought no set that could be read.
	Fetches, Failures uint64
	// Cause is why the last fetch failed: certificate, timeout, connection, status, size or
	// content; empty if it did not. Fault is the same in full.
	Cause, Fault string
}

// counters count one issuer's calls.
type counters struct {
	passed      atomic.Uint64
	refused     [len(checks)]atomic.Uint64
	notAdmitted atomic.Uint64
}

// add counts a call that a check refused; an empty check stands for a call that was let in.
func (c *counters) add(refused Check) {
	if refused == "" {
		c.passed.Add(1)
		return
	}
	for i := range checks {
		if checks[i].check == refused {
			c.refused[i].Add(1)
			return
		}
	}
	c.notAdmitted.Add(1)
}

// counts appends to list the counts that are not zero.
func (c *counters) counts(list []CallCount, issuer string) []CallCount {
	add := func(check Check, count *atomic.Uint64) {
		if n := count.Load(); n > 0 {
			list = append(list, CallCount{Issuer: issuer, Refused: check, Count: n})
		}
	}
	add("", &c.passed)
	for i := range c.refused {
		add(checks[i].check, &c.refused[i])
	}
	add(CheckAdmission, &c.notAdmitted)
	return list
}

// callCounters count all calls by issuer. Issuers that the trust policy does not name share one
// counter, so that invented names take no memory.
type callCounters struct {
	unknown  counters
	byIssuer sync.Map // name to *counters
}

// of returns the counters of an issuer of the trust policy. They outlive its entry.
func (c *callCounters) of(issuer string) *counters {
	counts, _ := c.byIssuer.LoadOrStore(issuer, &counters{})
	return counts.(*counters) //nolint:forcetypeassert // nothing else is stored
}

// list returns the counts that are not zero, in the order of issuers' names and of the checks.
func (c *callCounters) list() []CallCount {
	list := c.unknown.counts(nil, "")
	c.byIssuer.Range(func(issuer, counts any) bool {
		list = counts.(*counters).counts(list, issuer.(string)) //nolint:forcetypeassert // nothing else is stored
		return true
	})
	slices.SortStableFunc(list, func(a, b CallCount) int { return cmp.Compare(a.Issuer, b.Issuer) })
	return list
}
