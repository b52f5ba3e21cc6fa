// Package postgres keeps Herald's notifications in PostgreSQL, together with the
// jobs that deliver them: whatever is promised is written in one transaction.
//
//	pool, err := postgres.Connect(ctx, databaseURL)
//	store, err := postgres.New(pool)
//	notification, err := store.Create(ctx, herald.Claim{Request: request})
package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// minMaxConns is the size that a pool may grow to at least. The default of pgx,
// four, makes calls wait for each other on a small machine.
const minMaxConns = 16

// maxAttempts bounds only what Herald could not even record, such as an outage of
// the database itself: all else snoozes, which is no attempt to River. It is some
// forty days of them.
const maxAttempts = 1000

// Connect returns a pool of connections to the database. It does not wait for the
// database to be there.
func Connect(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parsing database URL: %w", err)
	}
	config.MaxConns = max(config.MaxConns, minMaxConns)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("preparing database pool: %w", err)
	}
	return pool, nil
}

// A Store is Herald's storage. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	jobs *river.Client[pgx.Tx]
}

// New returns a store in the pool's database, which migrations.Herald has brought
// up.
func New(pool *pgxpool.Pool) (*Store, error) {
	jobs, err := river.NewClient(riverpgxv5.New(pool), &river.Config{MaxAttempts: maxAttempts})
	if err != nil {
		return nil, fmt.Errorf("preparing job queue: %w", err)
	}
	return &Store{pool: pool, jobs: jobs}, nil
}

// Ready returns nil when the database answers and has its schema.
func (s *Store) Ready(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, `select from notifications, river_job limit 0`); err != nil {
		return fmt.Errorf("asking the database: %w", err)
	}
	return nil
}
