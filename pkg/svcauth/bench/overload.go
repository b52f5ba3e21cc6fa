package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/micromachine/pkg/svcauth/bench/internal/chains"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
	"example.com/micromachine/pkg/svcauth/trust"
)

// The overload has so many connections that no sender waits for another.
const (
	overloadConns = 384
	moderateConns = 16
	overloadWarm  = time.Second
	afterTime     = 4 * time.Second
	// calmShare is the load after the overload, as a part of the capacity. moderateShare is the
	// load of the moderate caller during the overload.
	calmShare     = 0.25
	moderateShare = 0.1
	// promptTime is the longest time until the mail of a POST arrives, if the service has
	// recovered.
	promptTime = 500 * time.Millisecond
)

// A flood has the results of one overload.
type flood struct {
	offered, accepted, mails float64       // in a second, in the window
	refusals                 time.Duration // p99
	recovery                 time.Duration
	moderateShare            float64 // of the moderate caller's POSTs, accepted
}

// overload sends the running pair more POSTs than it can process, and compares it with its best
// throughput in the same round.
func overload(ctx context.Context, r *rig) ([]row, error) {
	s, err := r.side(ctx, ours)
	if err != nil {
		return nil, err
	}
	moderate, err := s.TargetOf(chains.Another, trust.Article)
	if err != nil {
		return nil, err
	}
	best := traffic.Plan{Conns: chainConns, Outstanding: chainOutstanding, Warm: chainWarm, Window: r.options.window}
	factors := []float64{2, 10}
	floods := map[float64][]flood{}
	accepted, mails := map[float64][]float64{}, map[float64][]float64{}
	for round := range r.options.rounds {
		for _, factor := range factors {
			t, err := r.measure(ctx, s, best)
			if err != nil {
				return nil, err
			}
			f, err := r.flood(ctx, s, moderate, t.rate(), factor)
			if err != nil {
				return nil, err
			}
			progress("round %d: best %.0f mails/s; offered %.0f/s: %.0f accepted, %.0f mails/s, "+
				"refusals %v at p99, recovery %v, moderate caller %.2f",
				round+1, t.rate(), f.offered, f.accepted, f.mails, f.refusals, f.recovery, f.moderateShare)
			floods[factor] = append(floods[factor], f)
			accepted[factor] = append(accepted[factor], f.accepted/t.rate())
			mails[factor] = append(mails[factor], f.mails/t.rate())
		}
	}
	rows := []row{heading("POST to mail under overload, beside the best throughput of the same round")}
	for _, factor := range factors {
		rows = append(rows, overloadRows(factor, floods[factor], accepted[factor], mails[factor])...)
	}
	return rows, nil
}

func overloadRows(factor float64, floods []flood, accepted, mails []float64) []row {
	what := fmt.Sprintf("  %g × offered: ", factor)
	refusals := median(floods, func(f flood) float64 { return milliseconds(f.refusals) })
	recovery := median(floods, func(f flood) float64 { return f.recovery.Seconds() })
	share := median(floods, func(f flood) float64 { return f.moderateShare })
	return []row{
		row{what: what + "mails", figure: fmt.Sprintf("%.0f mails/s", median(floods, func(f flood) float64 { return f.mails }))}.
			withRatio("best", ratioOf(mails), atLeast(0.9)),
		row{what: what + "accepted", figure: fmt.Sprintf("%.0f POSTs/s", median(floods, func(f flood) float64 { return f.accepted }))}.
			withRatio("best", ratioOf(accepted), goal{}),
		row{what: what + "refusals, p99", figure: fmt.Sprintf("%.1f ms", refusals)}.withGoal(refusals, atMost(100)),
		row{what: what + "recovery", figure: fmt.Sprintf("%.2f s", recovery)}.withGoal(recovery, atMost(2)),
		row{what: what + "accepted of a caller with 0.1 of the capacity", figure: fmt.Sprintf("%.2f", share)}.withGoal(share, atLeast(0.9)),
	}
}

// flood overloads the pair for a window. A moderate caller sends POSTs at the same time, and goes
// on after the overload.
func (r *rig) flood(ctx context.Context, s *chains.Side, moderate traffic.Target, best, factor float64) (f flood, err error) {
	window := overloadWarm + r.options.window
	posts, err := traffic.RunStreams(ctx, []traffic.Stream{
		{Target: s.Target, Conns: overloadConns, Phases: []traffic.Phase{{Rate: factor * best, Time: window}}},
		{Target: moderate, Conns: moderateConns, Phases: []traffic.Phase{
			{Rate: moderateShare * best, Time: window}, {Rate: calmShare * best, Time: afterTime},
		}},
	}, &r.users, r.mails)
	if err != nil {
		return f, err
	}
	flooding, moderatePosts := posts[0], posts[1]
	if len(flooding) == 0 {
		return f, errors.New("no POST was sent")
	}
	begin := flooding[0].Due
	from, end := begin.Add(overloadWarm), begin.Add(window)
	f.count(slices.Concat(flooding, moderatePosts), from, end)
	f.recovery = recoveryOf(moderatePosts, end)
	f.moderateShare = acceptedOf(moderatePosts, from, end)
	return f, nil
}

// acceptedOf returns the accepted share of the POSTs that are due in a window.
func acceptedOf(posts []traffic.Post, from, end time.Time) float64 {
	var due, accepted float64
	for _, p := range posts {
		if p.Due.After(from) && p.Due.Before(end) {
			due++
			if !p.Refused() {
				accepted++
			}
		}
	}
	return accepted / due
}

// count sets the results of the window.
func (f *flood) count(posts []traffic.Post, from, end time.Time) {
	within := func(t time.Time) bool { return !t.Before(from) && t.Before(end) }
	var sent, accepted, mails int
	var refusals []time.Duration
	for _, p := range posts {
		if within(p.Sent) {
			sent++
		}
		switch {
		case !within(p.Answered):
		case p.Refused():
			refusals = append(refusals, p.Answered.Sub(p.Sent))
		default:
			accepted++
		}
		if within(p.Mailed) {
			mails++
		}
	}
	seconds := end.Sub(from).Seconds()
	f.offered, f.accepted, f.mails = float64(sent)/seconds, float64(accepted)/seconds, float64(mails)/seconds
	if len(refusals) > 0 {
		slices.Sort(refusals)
		f.refusals = refusals[len(refusals)*99/100]
	}
}

// recoveryOf returns the time from the end of the overload until the last POST that was refused, or
// whose mail did not arrive promptly, was due.
func recoveryOf(posts []traffic.Post, end time.Time) (recovery time.Duration) {
	for _, p := range posts {
		if p.Due.After(end) && (p.Refused() || p.Mailed.Sub(p.Due) > promptTime) {
			recovery = max(recovery, p.Due.Sub(end))
		}
	}
	return recovery
}
