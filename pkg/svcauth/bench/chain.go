package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/micromachine/pkg/svcauth/bench/internal/chains"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

const (
	chainConns       = 64
	chainOutstanding = 256
	chainWarm        = 1500 * time.Millisecond
)

// idleTime is how long the idle sides are watched, to know what they do without any load.
const idleTime = 4 * time.Second

// chain compares the running pair with the plain chains under as much load as each can bear, and shows what each
// notification costs.
func chain(ctx context.Context, r *rig) ([]row, error) {
	names := r.contestants(ours, naive, tuned)
	idle, err := r.idle(ctx, names)
	if err != nil {
		return nil, err
	}
	plan := traffic.Plan{Conns: chainConns, Outstanding: chainOutstanding, Warm: chainWarm, Window: r.options.window}
	t, err := r.compete(ctx, plan, names...)
	if err != nil {
		return nil, err
	}
	rows := []row{heading(fmt.Sprintf("POST to mail: %d keep-alive clients, %d notifications outstanding",
		chainConns, chainOutstanding))}
	for _, name := range names {
		rows = append(rows, row{what: "  " + name, figure: fmt.Sprintf("%.0f mails/s", t.each(name, turn.rate))})
	}
	rows[1] = rows[1].beside(naive, t.ratio(ours, naive, turn.rate), atLeast(1.5))
	rows = append(rows, row{what: "    beside tuned"}.beside(tuned, t.ratio(ours, tuned, turn.rate), atLeast(1)))
	if slices.Contains(names, before) {
		rows = append(rows, row{what: "    beside before"}.beside(before, t.ratio(ours, before, turn.rate), goal{}))
	}
	rows = append(rows, r.costRows(t, names)...)
	return append(rows, r.databaseRows(t, idle, names)...), nil
}

// idle returns what each side uses in idleTime without load.
func (r *rig) idle(ctx context.Context, names []string) (map[string]chains.Reading, error) {
	first := map[string]chains.Reading{}
	for _, name := range names {
		s, err := r.side(ctx, name)
		if err != nil {
			return nil, err
		}
		if first[name], err = r.meter.Read(ctx, s); err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, idleTime); err != nil {
		return nil, err
	}
	used := map[string]chains.Reading{}
	for _, name := range names {
		after, err := r.meter.Read(ctx, r.sides[name])
		if err != nil {
			return nil, err
		}
		used[name] = after.Sub(first[name])
	}
	return used, nil
}

func cpuEach(of func(chains.Reading) time.Duration) func(turn) float64 {
	return func(t turn) float64 { return t.per(milliseconds(of(t.used))) }
}

// costRows show the CPU time of each notification.
func (r *rig) costRows(t tournament, names []string) []row {
	rows := []row{heading("CPU time of one notification, at load")}
	for _, c := range []struct {
		what string
		of   func(chains.Reading) time.Duration
		goal goal
		err  error
	}{
		{"PostgreSQL", func(u chains.Reading) time.Duration { return u.Postgres }, atMost(1.5), r.meter.NoCPU},
		{"Herald", func(u chains.Reading) time.Duration { return u.Herald }, goal{}, nil},
		{"Census", func(u chains.Reading) time.Duration { return u.Census }, goal{}, nil},
	} {
		if c.err != nil {
			rows = append(rows, notRun("  "+c.what, c.err))
			continue
		}
		figure := cpuEach(c.of)
		for _, name := range names {
			line := row{what: "  " + c.what + ", " + name, figure: fmt.Sprintf("%.2f ms", t.each(name, figure))}
			if name == ours {
				line = line.beside(naive, t.ratio(ours, naive, figure), c.goal)
			}
			rows = append(rows, line)
		}
	}
	return rows
}

// databaseRows show the transactions and the WAL syncs of each notification, without those that the side makes when idle.
func (r *rig) databaseRows(t tournament, idle map[string]chains.Reading, names []string) []row {
	rows := []row{heading("Transactions and WAL syncs of one notification, at load")}
	for _, c := range []struct {
		what string
		of   func(chains.Reading) int64
		goal goal
		err  error
	}{
		{"transactions", transactions, atMost(1.5), nil},
		{"  Herald's", heraldTransactions, goal{}, nil},
		{"WAL syncs", syncs, atMost(0.5), r.meter.NoSyncs},
	} {
		if c.err != nil {
			rows = append(rows, notRun("  "+c.what, c.err))
			continue
		}
		for _, name := range names {
			value := t.each(name, func(t turn) float64 {
				background := float64(c.of(idle[name])) * t.Elapsed.Seconds() / idleTime.Seconds()
				return t.per(float64(c.of(t.used)) - background)
			})
			line := row{what: "  " + c.what + ", " + name, figure: fmt.Sprintf("%.2f", value)}
			if name == ours {
				line = line.judged(value, c.goal)
			}
			rows = append(rows, line)
		}
	}
	return rows
}
