package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

// latencyWarm is the time in which the connections for the rate open.
const latencyWarm = 2 * time.Second

// An offeredLoad is a rate of POSTs and the goals for the pair at this rate.
type offeredLoad struct {
	rate     float64
	ratio    goal    // of the times, to those of the tuned chain
	p50, p99 float64 // in milliseconds; zero: no goal
}

var offeredLoads = []offeredLoad{{rate: 200, ratio: atMost(1)}, {rate: 50, p50: 15, p99: 30}}

// latency measures the time from when a POST is due until the mail server has accepted its mail, at
// rates below the maximum. A rejected POST counts as a mail that never arrives.
func latency(ctx context.Context, r *rig) ([]row, error) {
	var rows []row
	for _, o := range offeredLoads {
		plan := traffic.Plan{Conns: chainConns, Rate: o.rate, Warm: latencyWarm, Window: r.options.window}
		names := r.withBefore(ours, tuned)
		t, err := r.compareSides(ctx, plan, names...)
		if err != nil {
			return nil, err
		}
		rows = append(rows, heading(fmt.Sprintf("POST to mail: time at %.0f/s offered", o.rate)))
		for _, p := range []struct {
			what  string
			of    float64
			limit float64
		}{{"p50", 0.50, o.p50}, {"p99", 0.99, o.p99}} {
			figure := func(t measurement) float64 { return t.percentile(p.of) }
			value := t.each(ours, figure)
			line := row{what: "  " + ours + ", " + p.what, figure: showTime(value)}
			line = line.withRatio(tuned, t.ratio(ours, tuned, figure), o.ratio)
			if p.limit > 0 {
				line = line.withGoal(value, atMost(p.limit))
			}
			rows = append(rows, line)
			for _, name := range names[1:] {
				rows = append(rows, row{what: "  " + name + ", " + p.what, figure: showTime(t.each(name, figure))})
			}
		}
	}
	return rows, nil
}

// showTime formats milliseconds.
func showTime(ms float64) string {
	if math.IsInf(ms, 1) {
		return "never"
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// percentile returns a percentile of the latencies in milliseconds. p is between 0 and 1.
func (t measurement) percentile(p float64) float64 {
	total := len(t.Latencies)
	for _, refused := range t.Refused {
		total += refused
	}
	i := min(int(p*float64(total)), total-1)
	if i < 0 || i >= len(t.Latencies) {
		return math.Inf(1)
	}
	return milliseconds(t.Latencies[i])
}
