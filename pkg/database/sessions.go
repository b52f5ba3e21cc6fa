package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrTransactionPooling says that the connection goes through a pooler in transaction or statement
// mode. Advisory locks, LISTEN and prepared statements need a session.
var ErrTransactionPooling = errors.New("the connection leads through a pooler in transaction or statement mode, " +
	"which cannot be used: set its pool_mode to session, or connect to PostgreSQL directly")

const (
	sessionsTimeout = 3 * time.Second
	sessionsRounds  = 5
)

// CheckSessions returns [ErrTransactionPooling] when a connection is not a session. It opens two
// connections and asks each several times for its backend. In sessions, each connection keeps one
// backend and the two backends differ. Any other error says that the database did not answer.
func (c *Config) CheckSessions(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sessionsTimeout)
	defer cancel()
	config := c.Conn()
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // a pooler may not know prepared statements
	first, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("checking for a pooler: %w", err)
	}
	defer closeConn(first)
	second, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("checking for a pooler: %w", err)
	}
	defer closeConn(second)
	return compareBackends(ctx, first, second)
}

func compareBackends(ctx context.Context, conns ...*pgx.Conn) error {
	backends := map[string]int{} // backend to the index of its connection
	for range sessionsRounds {
		for i, conn := range conns {
			backend, err := backendOf(ctx, conn)
			if err != nil {
				return fmt.Errorf("checking for a pooler: %w", err)
			}
			if owner, known := backends[backend]; known && owner != i || !known && len(backends) > i {
				return ErrTransactionPooling
			}
			backends[backend] = i
		}
	}
	return nil
}

// AwaitSessions calls CheckSessions once a second until the database answers. It returns
// [ErrTransactionPooling] or nil. It returns nil when ctx ends.
func (c *Config) AwaitSessions(ctx context.Context) error {
	for ctx.Err() == nil {
		err := c.CheckSessions(ctx)
		if err == nil || errors.Is(err, ErrTransactionPooling) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// backendOf returns an identifier of a connection's backend that is unique among all servers.
func backendOf(ctx context.Context, conn *pgx.Conn) (backend string, err error) {
	err = conn.QueryRow(ctx, `select pg_backend_pid() || ' ' || pg_postmaster_start_time()`).Scan(&backend)
	return backend, err
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
