package main

import (
	"context"
	"fmt"
	"time"

	"example.com/micromachine/pkg/svcauth/bench/internal/chains"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

// flushTime is the time after which PostgreSQL's idle connections have reported their statistics.
const flushTime = 10*time.Second + 500*time.Millisecond

// alone counts the transactions and WAL syncs of a notification at low load, so that none are
// shared. It measures the pair without load first and subtracts that.
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

// The counts of a reading.
func transactions(u chains.Reading) int64       { return u.HeraldCommits + u.CensusCommits }
func heraldTransactions(u chains.Reading) int64 { return u.HeraldCommits }
func syncs(u chains.Reading) int64              { return u.Syncs }

func count(what string, value float64, g goal) row {
	return row{what: "  " + what, figure: fmt.Sprintf("%.2f", value)}.withGoal(value, g)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
