// Package postgres keeps Herald's notifications in PostgreSQL, together with the
// jobs that deliver them: whatever is promised is written in one transaction.
//
//	pool, err := postgres.Connect(ctx, databaseURL)
//	store, err := postgres.New(pool)
//	notification, err := store.Create(ctx, herald.Claim{Request: request})
package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"example.com/micromachine/pkg/database"
)

// MaxConns is the size that a pool may grow to unless pool_max_conns says otherwise.
// The default of pgx, four, makes calls wait for each other on a small machine.
const MaxConns = 16

// maxAttempts bounds only what Herald could not even record, such as an outage of
// the database itself: all else snoozes, which is no attempt to River. It is some
// forty days of them.
const maxAttempts = 1000

// Connect returns a pool of connections to the database. It does not wait for the
// database to be there.
func Connect(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	config, err := database.Parse(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parsing database URL: %w", err)
	}
	return config.Open(ctx, config.MaxConns(MaxConns))
}

// A Store is Herald's storage. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	jobs *river.Client[pgx.Tx]
}

// An Option is what New can do without.
type Option func(*river.Config)

// WithLogger has the job queue log to log, and not to nowhere.
func WithLogger(log *slog.Logger) Option { return func(c *river.Config) { c.Logger = log } }

// New returns a store in the pool's database, which migrations.Herald has brought
// up.
func New(pool *pgxpool.Pool, options ...Option) (*Store, error) {
	config := &river.Config{MaxAttempts: maxAttempts, Logger: slog.New(slog.DiscardHandler)}
	for _, option := range options {
		option(config)
	}
	jobs, err := river.NewClient(riverpgxv5.New(pool), config)
	if err != nil {
		return nil, fmt.Errorf("preparing job queue: %w", err)
	}
	return &Store{pool: pool, jobs: jobs}, nil
}

// Ready returns nil when the database has its schema and can be written. It reads
// the tables, and writes the one that every writing request writes to.
func (s *Store) Ready(ctx context.Context) error {
	id := rand.Text()
	var batch pgx.Batch
	batch.Queue(`select from notifications, attempts, idempotency_keys, river_job, river_queue, river_leader limit 0`)
	batch.Queue(`insert into svcauth_replay (id, expires_at) values ($1, now())`, []byte(id))
	batch.Queue(`delete from svcauth_replay where id = $1`, []byte(id))
	return database.TryWrite(ctx, s.pool, &batch)
}
