package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth/bench/internal/chains"
	"example.com/micromachine/pkg/svcauth/bench/internal/sink"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

// The names of the sides.
const (
	ours   = "ours"
	before = "before" // our programs, built from another commit
	naive  = "naive"
	tuned  = "tuned"
)

const benchUsers = 1000

// A rig is shared by the measurements of running services. It starts a side on first use and stops
// all sides at the end.
type rig struct {
	options options
	site    chains.Site
	users   traffic.Users
	mails   *sink.Sink
	sides   map[string]*chains.Side
	meter   *chains.Meter
	closers []func() error
}

func newRig(o options) *rig {
	return &rig{options: o, sides: map[string]*chains.Side{}, users: traffic.Users{Count: benchUsers}}
}

// open finds the PostgreSQL server and starts the mail server, once.
func (r *rig) open(ctx context.Context) (err error) {
	if r.mails != nil {
		return nil
	}
	server, err := pgtest.Find(ctx, progress)
	if err != nil {
		return err
	}
	r.onClose(func() error { server.Stop(); return nil })
	dir, err := os.MkdirTemp("", "svcauth-bench-")
	if err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	r.onClose(func() error { return os.RemoveAll(dir) })
	r.site = chains.Site{
		Server: server, BinDir: r.options.binDir, Dir: dir, Users: benchUsers, TunedPool: r.options.tunedPool,
	}
	if r.meter, err = chains.NewMeter(ctx, server); err != nil {
		return err
	}
	r.onClose(r.meter.Close)
	if r.mails, err = sink.Start(ctx, 0); err != nil {
		return err
	}
	r.onClose(r.mails.Close)
	return nil
}

func (r *rig) onClose(f func() error) { r.closers = append(r.closers, f) }

// close stops everything in the reverse order of its start.
func (r *rig) close() error {
	var errs []error
	for _, closer := range slices.Backward(r.closers) {
		errs = append(errs, closer())
	}
	return errors.Join(errs...)
}

// side returns a running side. It starts the side on first use.
func (r *rig) side(ctx context.Context, name string) (*chains.Side, error) {
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if s := r.sides[name]; s != nil {
		return s, nil
	}
	s, err := r.start(ctx, name, r.mails.Addr)
	if err != nil {
		return nil, err
	}
	r.onClose(s.Close)
	r.sides[name] = s
	return s, nil
}

// start starts a side. The caller must close it.
func (r *rig) start(ctx context.Context, name, smtpAddr string) (*chains.Side, error) {
	progress("starting %s", name)
	site := r.site
	switch name {
	case naive, tuned:
		return site.Plain(ctx, name, smtpAddr, name == tuned)
	case before:
		site.BinDir = r.options.beforeDir
	}
	return site.Built(ctx, name, smtpAddr)
}

// A measurement is the result of one side in one round.
type measurement struct {
	traffic.Result
	used chains.Reading // in the window
}

// rate returns the number of mails that arrived per second.
func (t measurement) rate() float64 { return float64(t.Mails) / t.Elapsed.Seconds() }

// acceptRate returns the number of POSTs answered with 201 per second.
func (t measurement) acceptRate() float64 { return float64(t.Accepted) / t.Elapsed.Seconds() }

// per divides a quantity by the number of mails.
func (t measurement) per(quantity float64) float64 { return quantity / float64(t.Mails) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measure runs a plan on a side, and reads what the side uses in the window.
func (r *rig) measure(ctx context.Context, s *chains.Side, plan traffic.Plan) (measurement, error) {
	var readings []chains.Reading
	plan.AtEdge = func() error {
		reading, err := r.meter.Read(ctx, s)
		readings = append(readings, reading)
		return err
	}
	result, err := traffic.Run(ctx, plan, s.Target, &r.users, r.mails)
	if err != nil {
		return measurement{}, fmt.Errorf("%s: %w", s.Name, err)
	}
	t := measurement{Result: result, used: readings[1].Sub(readings[0])}
	if t.Mails == 0 {
		return t, fmt.Errorf("%s: no mail arrived in %v", s.Name, t.Elapsed)
	}
	return t, nil
}

// measurements has the measurements of each side, by its name, in the order of the rounds.
type measurements map[string][]measurement

// withBefore returns the names, with before if the option is set.
func (r *rig) withBefore(names ...string) []string {
	if r.options.beforeDir != "" {
		names = append(names, before)
	}
	return names
}

// compareSides runs a plan on the sides in alternation.
func (r *rig) compareSides(ctx context.Context, plan traffic.Plan, names ...string) (measurements, error) {
	for _, name := range names {
		if _, err := r.side(ctx, name); err != nil {
			return nil, err
		}
	}
	all := measurements{}
	for round := range r.options.rounds {
		for _, name := range names {
			t, err := r.measure(ctx, r.sides[name], plan)
			if err != nil {
				return nil, err
			}
			progress("round %d, %s: %.0f mails/s, %.1f ms at the median, refused: %v",
				round+1, name, t.rate(), t.percentile(0.5), t.Refused)
			all[name] = append(all[name], t)
		}
	}
	return all, nil
}

// each returns the median of a figure over the measurements of a side.
func (t measurements) each(name string, figure func(measurement) float64) float64 {
	return median(t[name], figure)
}

// ratio returns the ratio of a figure of two sides over all rounds.
func (t measurements) ratio(name, base string, figure func(measurement) float64) ratio {
	ratios := make([]float64, len(t[name]))
	for i := range ratios {
		ratios[i] = figure(t[name][i]) / figure(t[base][i])
	}
	return ratioOf(ratios)
}
