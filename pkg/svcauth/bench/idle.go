package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/micromachine/pkg/svcauth/bench/internal/chains"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

// idleWindow is long enough to measure 0.1 % of a core with /proc.
const idleWindow = 15 * time.Second

// idleHerald measures what a new Herald uses without requests, before and after load, and what the
// tuned chain's uses, which is little more than River. The transactions after the load are counted
// when the statistics of the load are complete.
func idleHerald(ctx context.Context, r *rig) (rows []row, err error) {
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	s, err := r.start(ctx, ours, r.mails.Addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	watch := func(s *chains.Side, wait time.Duration) (chains.Reading, error) {
		if err := sleep(ctx, wait); err != nil {
			return chains.Reading{}, err
		}
		before, err := r.meter.Read(ctx, s)
		if err != nil {
			return before, err
		}
		if err := sleep(ctx, idleWindow); err != nil {
			return before, err
		}
		after, err := r.meter.Read(ctx, s)
		return after.Sub(before), err
	}
	idle, err := watch(s, flushTime)
	if err != nil {
		return nil, err
	}
	plan := traffic.Plan{Conns: chainConns, Outstanding: chainOutstanding, Warm: chainWarm, Window: r.options.window}
	if _, err := traffic.Run(ctx, plan, s.Target, &r.users, r.mails); err != nil {
		return nil, err
	}
	after, err := watch(s, 0)
	if err != nil {
		return nil, err
	}
	later, err := watch(s, 0)
	if err != nil {
		return nil, err
	}
	plain, err := r.start(ctx, tuned, r.mails.Addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	river, err := watch(plain, flushTime)
	if err != nil {
		return nil, err
	}
	return []row{
		heading("Herald without any request"),
		cpuShare("never loaded", idle), commitRate("never loaded", idle),
		cpuShare("just after load", after), commitRate(fmt.Sprintf("%v after load", idleWindow), later),
		{what: "  CPU, tuned chain's, never loaded", figure: percentage(river)},
	}, nil
}

func cpuShare(when string, used chains.Reading) row {
	return row{what: "  CPU, " + when, figure: percentage(used)}.withGoal(percent(used), atMost(0.5))
}

func percentage(used chains.Reading) string { return fmt.Sprintf("%.2f %%", percent(used)) }

// percent returns Herald's share of a core.
func percent(used chains.Reading) float64 { return 100 * used.Herald.Seconds() / idleWindow.Seconds() }

func commitRate(when string, used chains.Reading) row {
	rate := float64(used.HeraldCommits) / idleWindow.Seconds()
	return row{what: "  commits, " + when, figure: fmt.Sprintf("%.1f/s", rate)}.withGoal(rate, atMost(5))
}
