package main

import (
	"context"
	"fmt"
	"time"

	"example.com/micromachine/pkg/svcauth/bench/internal/chains"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

// flushTime is how long PostgreSQL's connections keep their statistics to themselves when they have nothing more to do.
const flushTime = 10*time.Second + 500*time.Millisecond

// alone counts what one notification costs the database when it is the only one. The side's own background is measured
// before, for as long as the statistics take to be complete, and taken off.
func alone(ctx context.Context, r *rig) ([]row, error) {
	s, err := r.side(ctx, ours)
	if err != nil {
		return nil, err
	}
	var readings [3]chains.Reading
	read := func(i int) (err error) {
		if err := sleep(ctx, flushTime); err != nil {
			return err
		}
		readings[i], err = r.meter.Read(ctx, s)
		return err
	}
	if err := read(0); err != nil {
		return nil, err
	}
	if err := read(1); err != nil {
		return nil, err
	}
	plan := traffic.Plan{Conns: 1, Rate: 5, Window: 8 * time.Second}
	result, err := traffic.Run(ctx, plan, s.Target, &r.users, r.mails)
	if err != nil {
		return nil, err
	}
	if err := read(2); err != nil {
		return nil, err
	}
	background, used := readings[1].Sub(readings[0]), readings[2].Sub(readings[1])
	scale := readings[2].At.Sub(readings[1].At).Seconds() / readings[1].At.Sub(readings[0].At).Seconds()
	each := func(of func(chains.Reading) int64) float64 {
		return (float64(of(used)) - scale*float64(of(background))) / float64(result.AllAccepted)
	}
	rows := []row{
		heading("Transactions and WAL syncs of one notification, alone"),
		count("transactions", each(transactions), atMost(4)),
		count("  Herald's", each(heraldTransactions), goal{}),
	}
	last := count("WAL syncs", each(syncs), atMost(4))
	if r.meter.NoSyncs != nil {
		last = notRun("  WAL syncs", r.meter.NoSyncs)
	}
	return append(rows, last), nil
}

// What a reading counts.
func transactions(u chains.Reading) int64       { return u.HeraldCommits + u.CensusCommits }
func heraldTransactions(u chains.Reading) int64 { return u.HeraldCommits }
func syncs(u chains.Reading) int64              { return u.Syncs }

func count(what string, value float64, g goal) row {
	return row{what: "  " + what, figure: fmt.Sprintf("%.2f", value)}.judged(value, g)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
