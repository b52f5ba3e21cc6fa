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

// idleTime is how long the sides are measured without load.
const idleTime = 4 * time.Second

// chain compares the running pair with the plain chains at full load and measures the cost of a
// notification.
func chain(ctx context.Context, r *rig) ([]row, error) {
	names := r.withBefore(ours, naive, tuned)
	idle, err := r.idle(ctx, names)
	if err != nil {
		return nil, err
	}
	plan := traffic.Plan{Conns: chainConns, Outstanding: chainOutstanding, Warm: chainWarm, Window: r.options.window}
	t, err := r.compareSides(ctx, plan, names...)
	if err != nil {
		return nil, err
	}
	rows := []row{heading(fmt.Sprintf("POST to mail: %d keep-alive clients, %d notifications outstanding",
		chainConns, chainOutstanding))}
	for _, name := range names {
		rows = append(rows, row{what: "  " + name, figure: fmt.Sprintf("%.0f mails/s", t.each(name, measurement.rate))})
	}
	rows[1] = rows[1].withRatio(naive, t.ratio(ours, naive, measurement.rate), atLeast(1.5))
	rows = append(rows, row{what: "    beside tuned"}.withRatio(tuned, t.ratio(ours, tuned, measurement.rate), atLeast(1)))
	if slices.Contains(names, before) {
		rows = append(rows, row{what: "    beside before"}.withRatio(before, t.ratio(ours, before, measurement.rate), goal{}))
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

func cpuEach(of func(chains.Reading) time.Duration) func(measurement) float64 {
	return func(t measurement) float64 { return t.per(milliseconds(of(t.used))) }
}

// costRows returns the rows with the CPU time of a notification.
func (r *rig) costRows(t measurements, names []string) []row {
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
				line = line.withRatio(naive, t.ratio(ours, naive, figure), c.goal)
			}
			rows = append(rows, line)
		}
	}
	return rows
}

// databaseRows returns the rows with the transactions and WAL syncs of a notification. They exclude
// those of an idle side.
func (r *rig) databaseRows(t measurements, idle map[string]chains.Reading, names []string) []row {
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
			value := t.each(name, func(t measurement) float64 {
				background := float64(c.of(idle[name])) * t.Elapsed.Seconds() / idleTime.Seconds()
				return t.per(float64(c.of(t.used)) - background)
			})
			line := row{what: "  " + c.what + ", " + name, figure: fmt.Sprintf("%.2f", value)}
			if name == ours {
				line = line.withGoal(value, c.goal)
			}
			rows = append(rows, line)
		}
	}
	return rows
}
