package delivery

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/herald/internal/postgres"
	"example.com/micromachine/pkg/outage"
)

// The timing of the presence lock.
const (
	announceTimeout = 3 * time.Second
	pingEvery       = time.Second
	pingTimeout     = 2 * time.Second
	reconnectGap    = 250 * time.Millisecond
)

// A presence holds an advisory lock that marks this process as alive. The lock belongs to a
// connection, so that the database releases it when the process ends in any way.
type presence struct {
	id      string
	config  *pgx.ConnConfig
	outages *outage.Log
	conn    *pgx.Conn
	held    atomic.Bool // whether the lock was held at the last check
}

// announce connects and acquires the lock. The lock is shared, as two IDs may have the same hash.
func (p *presence) announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, p.config)
	if err != nil {
		return fmt.Errorf("announcing presence: %w", err)
	}
	// The keepalives let the database notice within seconds that this machine is gone; the default
	// is hours. They are set by a statement, as connection poolers reject them as startup
	// parameters.
	_, err = conn.Exec(ctx, `
		select set_config('tcp_keepalives_idle', '3', false), set_config('tcp_keepalives_interval', '2', false),
			set_config('tcp_keepalives_count', '2', false), pg_advisory_lock_shared($1, hashtext($2))`,
		postgres.PresenceClass, p.id)
	if err != nil {
		closeConn(conn)
		return fmt.Errorf("announcing presence: %w", err)
	}
	p.conn = conn
	p.held.Store(true)
	return nil
}

// run holds the lock until ctx ends. It replaces a broken connection at once, which takes less time
// than the other processes wait before they take this one for dead.
func (p *presence) run(ctx context.Context) error {
	defer p.withdraw()
	for ctx.Err() == nil {
		err := p.check(ctx)
		if ctx.Err() != nil {
			continue
		}
		p.outages.Observe(ctx, err)
		if err == nil {
			continue
		}
		p.withdraw()
		select {
		case <-ctx.Done():
		case <-time.After(reconnectGap):
		}
	}
	return nil
}

// check returns nil after pingEvery if the connection, and with it the lock, still exists. Reading
// detects a closed connection, the ping a hanging one. Without a connection check calls announce.
func (p *presence) check(ctx context.Context) error {
	if p.conn == nil {
		return p.announce(ctx)
	}
	waitCtx, cancel := context.WithTimeout(ctx, pingEvery)
	defer cancel()
	if _, err := p.conn.WaitForNotification(waitCtx); err != nil && waitCtx.Err() == nil {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return p.conn.Ping(ctx)
}

// withdraw releases the lock.
func (p *presence) withdraw() {
	p.held.Store(false)
	if p.conn != nil {
		closeConn(p.conn)
		p.conn = nil
	}
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the lock ends with the connection even on error
}
