package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/bench/internal/chains"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

// The compared sizes.
const (
	small, large                        = "small", "large"
	fewNotifications, manyNotifications = 10_000, 500_000
	fewUsers, manyUsers                 = 1_000, 1_000_000
)

const (
	scaleRounds = 21
	scaleOps    = 1000
	scalePage   = 50 // users
	// admin is the ID of the user who lists users.
	admin = 1
)

// scalePairs are two pairs of Census and Herald with different amounts of data.
type scalePairs struct{ small, large *chains.Side }

func (p *scalePairs) close() error {
	var errs []error
	for _, s := range []*chains.Side{p.small, p.large} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// scale compares the pair with a pair that stores much more data.
func scale(ctx context.Context, r *rig) (rows []row, err error) {
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	var p scalePairs
	defer func() { err = errors.Join(err, p.close()) }()
	if p.small, err = r.filled(ctx, small, fewUsers, fewNotifications); err != nil {
		return nil, err
	}
	if p.large, err = r.filled(ctx, large, manyUsers, manyNotifications); err != nil {
		return nil, err
	}
	if rows, err = r.scaleChain(ctx, p); err != nil {
		return nil, err
	}
	more, err := p.scaleUsers(ctx)
	return append(rows, more...), err
}

// filled starts a pair with the given numbers of users and of sent notifications. Most
// notifications are copies of a few sent ones.
func (r *rig) filled(ctx context.Context, name string, users, notifications int) (_ *chains.Side, err error) {
	progress("filling the %s databases", name)
	site := r.site
	site.Users = users
	s, err := site.Built(ctx, name, r.mails.Addr)
	if err != nil {
		return nil, err
	}
	plan := traffic.Plan{Conns: 1, Rate: 50, Window: 2 * time.Second}
	if _, err = traffic.Run(ctx, plan, s.Target, &r.users, r.mails); err == nil {
		err = errors.Join(s.Multiply(ctx, notifications), s.MakeAdmin(ctx, admin))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// scaleChain compares the rates of delivered and of accepted notifications.
func (r *rig) scaleChain(ctx context.Context, p scalePairs) ([]row, error) {
	rows := []row{heading(fmt.Sprintf("%d old notifications beside %d, %d users beside %d",
		manyNotifications, fewNotifications, manyUsers, fewUsers))}
	for _, c := range []struct {
		what, unit string
		plan       traffic.Plan
		figure     func(measurement) float64
	}{
		{"POST to mail", "mails/s", traffic.Plan{Conns: chainConns, Outstanding: chainOutstanding}, measurement.rate},
		{"POSTs answered 201", "POSTs/s", traffic.Plan{Conns: acceptClients}, measurement.acceptRate},
	} {
		c.plan.Warm, c.plan.Window = chainWarm, r.options.window
		t := measurements{}
		for range r.options.rounds {
			for _, s := range []*chains.Side{p.large, p.small} {
				measured, err := r.measure(ctx, s, c.plan)
				if err != nil {
					return nil, err
				}
				progress("%s, %s: %.0f %s", c.what, s.Name, c.figure(measured), c.unit)
				t[s.Name] = append(t[s.Name], measured)
			}
		}
		line := row{what: "  " + c.what, figure: fmt.Sprintf("%.0f %s", t.each(large, c.figure), c.unit)}
		rows = append(rows, line.withRatio(small, t.ratio(large, small, c.figure), atLeast(0.95)))
	}
	return rows, nil
}

// A read is a kind of request that reads users. It has the caller, and a function that returns the
// i-th query for a given number of users.
type read struct {
	what, caller string
	query        func(signer *svcauth.Signer, i, users int) (query, error)
}

var reads = []read{
	{"GET of a user", chains.Shop, func(signer *svcauth.Signer, i, users int) (query, error) {
		return readUser(signer, spread(i, users))
	}},
	{"look-up by mail", chains.Office, func(signer *svcauth.Signer, i, users int) (query, error) {
		user := spread(i, users)
		return listUsers(signer, fmt.Sprintf("email=user%d%%40example.com", user), user)
	}},
	{"list, first page", chains.Office, func(signer *svcauth.Signer, _, _ int) (query, error) {
		return listUsers(signer, fmt.Sprintf("limit=%d", scalePage), 1)
	}},
	{"list, deep page", chains.Office, func(signer *svcauth.Signer, _, users int) (query, error) {
		after := users / 10 * 9
		return listUsers(signer, fmt.Sprintf("limit=%d&after=%d", scalePage, after), after+1)
	}},
}

// spread returns the i-th user of a sequence that is spread over all users.
func spread(i, users int) int {
	const prime = 7919
	return i*prime%users + 1
}

// listUsers returns a query for a page whose first user is known.
func listUsers(signer *svcauth.Signer, parameters string, first int) (q query, err error) {
	q.path, q.want = "user/?"+parameters, fmt.Sprintf(`"user%d@example.com"`, first)
	q.token, err = chains.ReadToken(signer, q.path, admin)
	return q, err
}

// scaleUsers compares the speed of reading users.
func (p scalePairs) scaleUsers(ctx context.Context) ([]row, error) {
	rows := make([]row, len(reads))
	for i, kind := range reads {
		got, err := p.compareReads(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.what, err)
		}
		rows[i] = got.rateRow(large)
		rows[i].what = "  " + kind.what
		rows[i] = rows[i].withRatio(small, got.ratio(small, large), atLeast(0.95))
	}
	return rows, nil
}

// compareReads runs one kind of read on both sizes in alternation.
func (p scalePairs) compareReads(ctx context.Context, kind read) (results, error) {
	l, err := newReading(ctx, kind, p.large, manyUsers)
	if err != nil {
		return nil, err
	}
	defer l.clients.close()
	s, err := newReading(ctx, kind, p.small, fewUsers)
	if err != nil {
		return nil, err
	}
	defer s.clients.close()
	c := &comparison{
		rounds: scaleRounds, ops: scaleOps, sides: []side{l.side(large), s.side(small)},
		fresh: func() error { return errors.Join(l.renew(), s.renew()) },
	}
	return c.run(ctx)
}

// A reading runs one kind of read at one Census, each time with a new token.
type reading struct {
	kind    read
	users   int
	signer  *svcauth.Signer
	clients readers
	queries []query
	signed  int
}

func newReading(ctx context.Context, kind read, s *chains.Side, users int) (_ *reading, err error) {
	r := &reading{kind: kind, users: users}
	if r.signer, err = s.Signer(kind.caller); err != nil {
		return nil, err
	}
	r.clients, err = newReaders(ctx, s, s.CensusAddr)
	return r, err
}

// renew signs the queries of a round.
func (r *reading) renew() (err error) {
	r.queries, err = signQueries(scaleOps, func(i int) (query, error) {
		return r.kind.query(r.signer, r.signed+i, r.users)
	})
	r.signed += scaleOps
	return err
}

func (r *reading) side(name string) side {
	return side{name: name, run: r.clients.run(func(_, i int) query { return r.queries[i] })}
}
