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

// How the presence is kept up.
const (
	announceTimeout = 3 * time.Second
	pingEvery       = time.Second
	pingTimeout     = 2 * time.Second
	reconnectGap    = 250 * time.Millisecond
)

// A presence is an advisory lock that a process holds for as long as it lives: the
// database lets go of it with the connection, however the process ends.
type presence struct {
	id     string
	config *pgx.ConnConfig
	lost   *outage.Log
	conn   *pgx.Conn
	held   atomic.Bool // the lock is there, as far as is known
}

// announce connects and takes the lock. It is shared, as two IDs may have the same
// hash.
func (p *presence) announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, p.config)
	if err != nil {
		return fmt.Errorf("announcing presence: %w", err)
	}
	// A machine that vanishes without a word is noticed by the database's
	// keepalives; its default is to wait for hours. They are set by a statement, as
	// poolers refuse them at the start of a connection.
	_, err = conn.Exec(ctx, `
		select set_config('tcp_keepalives_idle', '3', false), set_config('tcp_keepalives_interval', '2', false),
			set_config('tcp_keepalives_count', '2', false), pg_advisory_lock_shared($1, hashtext($2))`, postgres.PresenceClass, p.id)
	if err != nil {
		drop(conn)
		return fmt.Errorf("announcing presence: %w", err)
	}
	p.conn = conn
	p.held.Store(true)
	return nil
}

// keep holds the lock until ctx ends. A connection that breaks is replaced at
// once, which takes less time than a process must seem dead.
func (p *presence) keep(ctx context.Context) error {
	defer p.withdraw()
	for ctx.Err() == nil {
		err := p.hold(ctx)
		if ctx.Err() != nil {
			continue
		}
		p.lost.Observe(ctx, err)
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

// hold returns nil after a while in which the connection, and with it the lock,
// was there. One that ends is noticed by the reading, one that hangs by the ping.
func (p *presence) hold(ctx context.Context) error {
	if p.conn == nil {
		return p.announce(ctx)
	}
	quiet, cancel := context.WithTimeout(ctx, pingEvery)
	defer cancel()
	if _, err := p.conn.WaitForNotification(quiet); err != nil && quiet.Err() == nil {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return p.conn.Ping(ctx)
}

// withdraw lets go of the lock.
func (p *presence) withdraw() {
	p.held.Store(false)
	if p.conn != nil {
		drop(p.conn)
		p.conn = nil
	}
}

func drop(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the lock goes with it, one way or another
}
