package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/pkg/svcauth"
)

// clientCount is how many clients call at the same time.
const clientCount = 16

// A load has the clients of both services, and the tokens that they send.
type load struct {
	world         *world
	open, guarded []*client
	sessions      []string // of each client, who is a user
	fresh         []string // of each call of a round
}

func newLoad(ctx context.Context, w *world, open, guarded string) (_ *load, err error) {
	l := &load{world: w}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.open, err = newClients(ctx, open); err != nil {
		return nil, err
	}
	if l.guarded, err = newClients(ctx, guarded); err != nil {
		return nil, err
	}
	for i := range clientCount {
		session, err := w.users.SessionToken(ctx, audience, svcauth.Subject(audience+userPath(i)[1:]))
		if err != nil {
			return nil, err
		}
		l.sessions = append(l.sessions, session)
	}
	if l.guarded[0].get(0, "") == nil {
		return nil, errors.New("the guarded service accepts a call without a token")
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range append(l.open, l.guarded...) {
		_ = c.conn.Close()
	}
}

// renew signs the tokens that a round uses up.
func (l *load) renew() (err error) {
	l.fresh, err = l.world.readTokens(serviceOps, func(i int) string { return audience + userPath(i)[1:] })
	return err
}

// userPath returns the path that the i-th call of a round requests.
func userPath(i int) string { return fmt.Sprintf("/user/%d/", i%userCount+1) }

func (l *load) sides() []side {
	return []side{
		{name: sessionTokens, run: calls(l.guarded, func(client, _ int) string { return l.sessions[client] })},
		// Between the others, so that it runs next to both.
		{name: noAuthentication, run: calls(l.open, func(int, int) string { return "" })},
		{name: newTokens, run: calls(l.guarded, func(_, i int) string { return l.fresh[i] })},
	}
}

// calls returns a side's run in which the clients share the calls of a round.
func calls(clients []*client, token func(client, i int) string) func(int) error {
	return func(ops int) error {
		var next atomic.Int64
		var group errgroup.Group
		for n, c := range clients {
			group.Go(func() error {
				for i := int(next.Add(1)) - 1; i < ops; i = int(next.Add(1)) - 1 {
					if err := c.get(i, token(n, i)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		return group.Wait()
	}
}

// A client is one HTTP/1.1 connection that is kept alive. It writes its requests itself, to use
// little CPU time. The CPU time of the client is taken from the services, and would make the
// difference between them look smaller.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
	buffer []byte
}

func newClients(ctx context.Context, address string) ([]*client, error) {
	clients := make([]*client, 0, clientCount)
	for range clientCount {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return clients, fmt.Errorf("connecting: %w", err)
		}
		clients = append(clients, &client{conn: conn, reader: bufio.NewReader(conn)})
	}
	return clients, nil
}

// get requests the i-th user and reads the answer. Any status but 200, and any other user, is an
// error.
func (c *client) get(i int, token string) error {
	if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return fmt.Errorf("setting deadline: %w", err)
	}
	c.buffer = fmt.Appendf(c.buffer[:0], "GET %s HTTP/1.1\r\nHost: census.service\r\n", userPath(i))
	if token != "" {
		c.buffer = fmt.Appendf(c.buffer, "%s: %s\r\n", svcauth.Header, token)
	}
	c.buffer = append(c.buffer, "\r\n"...)
	if _, err := c.conn.Write(c.buffer); err != nil {
		return fmt.Errorf("writing request: %w", err)
	}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return fmt.Errorf("reading response: %w", err)
	}
	var got user
	err = errors.Join(json.NewDecoder(res.Body).Decode(&got), res.Body.Close())
	switch {
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("status %s", res.Status)
	case err != nil:
		return fmt.Errorf("reading user: %w", err)
	case got.ID != int64(i%userCount+1):
		return fmt.Errorf("user %d instead of the requested one", got.ID)
	}
	return nil
}
