package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth/bench/internal/chains"
	"example.com/micromachine/pkg/svcauth/bench/internal/plain"
	"example.com/micromachine/pkg/svcauth/bench/internal/proc"
	"example.com/micromachine/pkg/svcauth/bench/internal/sink"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

const (
	acceptClients = 16
	acceptWarm    = time.Second
	slowMail      = 250 * time.Millisecond
)

// accept compares the rate at which Herald accepts POSTs, while the mail server is slow or down,
// with the rate of plain inserts of River jobs. Each round starts a new pair and kills it at the
// end, so that no backlog is processed during the inserts.
func accept(ctx context.Context, r *rig) (rows []row, err error) {
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	slow, err := sink.Start(ctx, slowMail)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, slow.Close()) }()
	unused, err := proc.FreeAddr()
	if err != nil {
		return nil, err
	}
	rows = []row{heading(fmt.Sprintf("POSTs answered 201, beside River's insert one by one: %d clients", acceptClients))}
	for _, c := range []struct{ what, smtpAddr string }{
		{fmt.Sprintf("mail server takes %v for each mail", slowMail), slow.Addr}, {"no mail server", unused},
	} {
		var posts, ratios []float64
		for range (r.options.rounds + 1) / 2 {
			inserted, err := r.insertRate(ctx)
			if err != nil {
				return nil, err
			}
			accepted, err := r.acceptRate(ctx, c.smtpAddr, slow)
			if err != nil {
				return nil, err
			}
			progress("%s: %.0f POSTs/s, %.0f inserts/s", c.what, accepted, inserted)
			posts, ratios = append(posts, accepted), append(ratios, accepted/inserted)
		}
		line := row{what: "  " + c.what, figure: fmt.Sprintf("%.0f POSTs/s", median(posts, identity))}
		rows = append(rows, line.withRatio("inserts", ratioOf(ratios), atLeast(1)))
	}
	return rows, nil
}

// insertRate returns the number of jobs inserted per second into a new database.
func (r *rig) insertRate(ctx context.Context) (perSecond float64, err error) {
	name := pgtest.TempName("bench_insert")
	url, err := r.site.Server.CreateDatabase(ctx, name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.site.Server.DropDatabase(context.WithoutCancel(ctx), name)) }()
	if err := chains.MigrateRiver(ctx, url); err != nil {
		return 0, err
	}
	return plain.InsertOneByOne(ctx, url, acceptClients, acceptWarm, r.options.window)
}

// acceptRate returns the number of POSTs per second that a new pair answers with 201. It returns an
// error if an accepted notification is not stored.
func (r *rig) acceptRate(ctx context.Context, smtpAddr string, mails *sink.Sink) (perSecond float64, err error) {
	s, err := r.start(ctx, ours, smtpAddr)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Kill()) }()
	plan := traffic.Plan{Conns: acceptClients, Warm: acceptWarm, Window: r.options.window, Abandon: true}
	result, err := traffic.Run(ctx, plan, s.Target, &r.users, mails)
	if err != nil {
		return 0, err
	}
	stored, err := s.Notifications(ctx)
	if err != nil {
		return 0, err
	}
	if stored < result.AllAccepted {
		return 0, fmt.Errorf("%d POSTs were answered 201, %d notifications are stored", result.AllAccepted, stored)
	}
	if len(result.Refused) > 0 {
		progress("%d POSTs were accepted, and refused: %v", result.AllAccepted, result.Refused)
	}
	return float64(result.Accepted) / result.Elapsed.Seconds(), nil
}
