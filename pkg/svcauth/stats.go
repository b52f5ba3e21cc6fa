package svcauth

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// counters count one issuer's calls: those let in, and those that each check refused.
type counters struct {
	passed  atomic.Uint64
	refused [len(checks)]atomic.Uint64
	// notAdmitted are those that had no room.
	notAdmitted atomic.Uint64
}

// Checks returns all checks, in the order in which they are made.
func Checks() []Check { return slices.Clone(checks[:]) }

var checks = [...]Check{
	CheckHeader, CheckEncoding, CheckJSON, CheckIssuer, CheckType, CheckKey, CheckSignature, CheckAudience, CheckTime,
	CheckClaims, CheckRequest, CheckAllow, CheckSubject, CheckBody, CheckReplay,
}

// countersOf returns the counters of an issuer of the trust file. They outlive its entry.
func (v *Verifier) countersOf(issuer string) *counters {
	c, _ := v.issuers.LoadOrStore(issuer, &counters{})
	return c.(*counters) //nolint:forcetypeassert // nothing else is stored
}

// count counts the call under the issuer that its token names, if the trust file names it too: what strangers call
// themselves must not fill the memory.
func (v *verification) count(refusal *Refusal) {
	c := &v.strangers
	if v.issuer != nil {
		c = v.issuer.counters
	}
	if refusal == nil {
		c.passed.Add(1)
		return
	}
	c.refusedBy(refusal.Check).Add(1)
}

// Stats are a verifier's counters and the state of what it works with, for metrics. All counts begin with the verifier.
type Stats struct {
	// Calls are the calls checked, by issuer and result, those that came up at all.
	Calls []CallCount
	// KeySets are the key sets that the trust file says to fetch, by issuer.
	KeySets []KeySetStats
	// TrustFault is why the trust file on disk is not the one in force; empty when it is.
	TrustFault string
}

// A CallCount counts calls of one issuer with one result.
type CallCount struct {
	// Issuer is the token's issuer; empty for one that was never in the trust file, or could not be read.
	Issuer string
	// Refused is the check that refused the calls, or [CheckAdmission]; empty where they were let in.
	Refused Check
	// Count is how many there were.
	Count uint64
}

// KeySetStats are the state of one issuer's published key set.
type KeySetStats struct {
	// Issuer publishes the set.
	Issuer string
	// Keys is how many keys can be used now: 0 when no set could be fetched, the last one is too old
	// to be trusted, or the set that was fetched has no key that can be used. In the last case the
	// fetch did not fail: Cause is empty. Skipped is how many keys of the set cannot be used, those
	// that belong to another issuer included.
	Keys, Skipped int
	// Fetched is when the set was last fetched; zero for never.
	Fetched time.Time
	// Fetches and Failures count the fetches, and those that brought no set that could be read.
	Fetches, Failures uint64
	// Cause is why the last fetch failed: certificate, timeout, connection, status, size or content; empty when it did
	// not. Fault is the same in full.
	Cause, Fault string
}

// Stats returns the verifier's counters, in the order of issuers' names and of the checks.
func (v *Verifier) Stats() Stats {
	var s Stats
	s.Calls = v.strangers.counts(s.Calls, "")
	v.issuers.Range(func(issuer, c any) bool {
		s.Calls = c.(*counters).counts(s.Calls, issuer.(string)) //nolint:forcetypeassert // nothing else is stored
		return true
	})
	slices.SortStableFunc(s.Calls, func(a, b CallCount) int { return cmp.Compare(a.Issuer, b.Issuer) })
	for _, set := range v.sets.Stats() {
		s.KeySets = append(s.KeySets, KeySetStats(set))
	}
	s.TrustFault = v.watcher.Fault()
	return s
}

// counts adds to list what has come up.
func (c *counters) counts(list []CallCount, issuer string) []CallCount {
	if n := c.passed.Load(); n > 0 {
		list = append(list, CallCount{Issuer: issuer, Count: n})
	}
	for i := range c.refused {
		if n := c.refused[i].Load(); n > 0 {
			list = append(list, CallCount{Issuer: issuer, Refused: checks[i], Count: n})
		}
	}
	if n := c.notAdmitted.Load(); n > 0 {
		list = append(list, CallCount{Issuer: issuer, Refused: CheckAdmission, Count: n})
	}
	return list
}
