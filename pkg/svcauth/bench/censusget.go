package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
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
	handWrittenJWT = "hand-written chi + pgx, golang-jwt for each request"
	tokenRepeats   = "Census, tokens that repeat"
	tokenNeverSeen = "Census, tokens never seen before"
)

const (
	getRounds = 21
	getOps    = 2000
	// handWrittenPool has one connection for each client.
	handWrittenPool = clientCount
)

// censusGet compares the built Census with two hand-written services that read the same table. All
// use TLS.
func censusGet(ctx context.Context, r *rig) ([]row, error) {
	s, err := r.side(ctx, ours)
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := s.Signer(chains.Shop)
	if err != nil {
		return nil, err
	}
	open, err := plainReaders(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	defer open.close()
	plainGuarded, err := plainReaders(ctx, s, public)
	if err != nil {
		return nil, err
	}
	defer plainGuarded.close()
	guarded, err := newReaders(ctx, s, s.CensusAddr)
	if err != nil {
		return nil, err
	}
	defer guarded.close()
	var fresh, plainFresh, kept []query
	renew := func() (err error) {
		fresh, err = signQueries(getOps, func(i int) (query, error) { return readUser(signer, i%benchUsers+1) })
		if err != nil {
			return err
		}
		plainFresh, err = signQueries(getOps, func(i int) (query, error) { return plainReadUser(private, i%benchUsers+1) })
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
		{name: handWrittenJWT, run: plainGuarded.run(func(_, i int) query { return plainFresh[i] })},
	}}
	got, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	return []row{
		heading(fmt.Sprintf("GET of a user at the built Census over TLS: %d keep-alive clients", clientCount)),
		got.rateRow(handWritten),
		got.rateRow(handWrittenJWT).withRatio("hand-written", got.ratio(handWritten, handWrittenJWT), goal{}),
		got.rateRow(tokenRepeats).withRatio("hand-written", got.ratio(handWritten, tokenRepeats), atLeast(0.95)),
		got.rateRow(tokenNeverSeen).withRatio("hand-written", got.ratio(handWritten, tokenNeverSeen), atLeast(0.75)),
		row{what: "    beside golang-jwt"}.withRatio("golang-jwt", got.ratio(handWrittenJWT, tokenNeverSeen), goal{}),
	}, nil
}

// plainReaders starts a hand-written Census and connects to it.
func plainReaders(ctx context.Context, s *chains.Side, caller ed25519.PublicKey) (readers, error) {
	addr, err := s.PlainCensus(ctx, handWrittenPool, caller)
	if err != nil {
		return nil, err
	}
	return newReaders(ctx, s, addr)
}

// A query is a GET at Census with a part of the expected response.
type query struct{ path, token, want string }

func (q query) withoutToken() query {
	q.token = ""
	return q
}

// plainReadUser returns a query for a user to a hand-written Census.
func plainReadUser(key ed25519.PrivateKey, user int) (q query, err error) {
	q = userQuery(user)
	q.token, err = chains.PlainToken(key, user)
	return q, err
}

// readUser returns a query for a user, made on behalf of that user.
func readUser(signer *svcauth.Signer, user int) (q query, err error) {
	q = userQuery(user)
	q.token, err = chains.ReadToken(signer, q.path, user)
	return q, err
}

// userQuery returns a query without a token.
func userQuery(user int) query {
	return query{path: fmt.Sprintf("user/%d/", user), want: fmt.Sprintf(`"user%d@example.com"`, user)}
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
