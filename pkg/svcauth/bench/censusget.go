package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/bench/internal/chains"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

// The names of the sides.
const (
	handWritten    = "hand-written chi + pgx, no authentication"
	tokenRepeats   = "Census, tokens that repeat"
	tokenNeverSeen = "Census, tokens never seen before"
)

const (
	getRounds = 21
	getOps    = 2000
	// handWrittenPool has one connection for each client.
	handWrittenPool = clientCount
)

// censusGet compares the built Census with a hand-written service that reads the same table. Both
// use TLS.
func censusGet(ctx context.Context, r *rig) ([]row, error) {
	s, err := r.side(ctx, ours)
	if err != nil {
		return nil, err
	}
	addr, err := s.PlainCensus(ctx, handWrittenPool)
	if err != nil {
		return nil, err
	}
	open, err := newReaders(ctx, s, addr)
	if err != nil {
		return nil, err
	}
	defer open.close()
	guarded, err := newReaders(ctx, s, s.CensusAddr)
	if err != nil {
		return nil, err
	}
	defer guarded.close()
	signer, err := s.Signer(chains.Shop)
	if err != nil {
		return nil, err
	}
	var fresh, kept []query
	renew := func() (err error) {
		fresh, err = signQueries(getOps, func(i int) (query, error) { return readUser(signer, i%benchUsers+1) })
		if err != nil {
			return err
		}
		kept, err = signQueries(clientCount, func(i int) (query, error) { return readUser(signer, i+1) })
		return err
	}
	c := &comparison{rounds: getRounds, ops: getOps, fresh: renew, sides: []side{
		{name: tokenRepeats, run: guarded.run(func(client, _ int) query { return kept[client] })},
		{name: handWritten, run: open.run(func(_, i int) query { return fresh[i].withoutToken() })},
		{name: tokenNeverSeen, run: guarded.run(func(_, i int) query { return fresh[i] })},
	}}
	got, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	return []row{
		heading(fmt.Sprintf("GET of a user at the built Census over TLS: %d keep-alive clients", clientCount)),
		got.rateRow(handWritten),
		got.rateRow(tokenRepeats).withRatio("hand-written", got.ratio(handWritten, tokenRepeats), atLeast(0.95)),
		got.rateRow(tokenNeverSeen).withRatio("hand-written", got.ratio(handWritten, tokenNeverSeen), atLeast(0.75)),
	}, nil
}

// A query is a GET at Census with a part of the expected response.
type query struct{ path, token, want string }

func (q query) withoutToken() query {
	q.token = ""
	return q
}

// readUser returns a query for a user, made on behalf of that user.
func readUser(signer *svcauth.Signer, user int) (q query, err error) {
	q.path, q.want = fmt.Sprintf("user/%d/", user), fmt.Sprintf(`"user%d@example.com"`, user)
	q.token, err = chains.ReadToken(signer, q.path, user)
	return q, err
}

// signQueries makes n queries, concurrently.
func signQueries(n int, sign func(i int) (query, error)) ([]query, error) {
	queries := make([]query, n)
	var group errgroup.Group
	var next atomic.Int64
	for range clientCount {
		group.Go(func() (err error) {
			for i := int(next.Add(1)) - 1; i < n && err == nil; i = int(next.Add(1)) - 1 {
				queries[i], err = sign(i)
			}
			return err
		})
	}
	return queries, group.Wait()
}

// readers are the connections of the clients to one Census.
type readers []*traffic.Conn

func newReaders(ctx context.Context, s *chains.Side, addr string) (readers, error) {
	tls, err := s.TLS("census.service")
	if err != nil {
		return nil, err
	}
	return traffic.DialMany(ctx, traffic.Target{Addr: addr, TLS: tls}, clientCount)
}

func (r readers) close() { traffic.CloseAll(r) }

// run returns a function that runs a round. The readers share the queries of the round.
func (r readers) run(choose func(client, i int) query) func(ops int) error {
	return func(ops int) error {
		var next atomic.Int64
		var group errgroup.Group
		for n, conn := range r {
			group.Go(func() error {
				var buffer []byte
				for i := int(next.Add(1)) - 1; i < ops; i = int(next.Add(1)) - 1 {
					q := choose(n, i)
					buffer = q.appendTo(buffer[:0])
					status, body, err := conn.Send(buffer)
					switch {
					case err != nil:
						return err
					case status != http.StatusOK || !strings.Contains(string(body), q.want):
						return fmt.Errorf("GET /%s was answered %d: %s", q.path, status, body)
					}
				}
				return nil
			})
		}
		return group.Wait()
	}
}

// appendTo appends the HTTP request to buffer.
func (q query) appendTo(buffer []byte) []byte {
	buffer = fmt.Appendf(buffer, "GET /%s HTTP/1.1\r\nHost: census.service\r\n", q.path)
	if q.token != "" {
		buffer = fmt.Appendf(buffer, "%s: %s\r\n", svcauth.Header, q.token)
	}
	return append(buffer, "\r\n"...)
}
