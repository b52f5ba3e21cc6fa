// Package pgreplay is a replay store for package svcauth that all replicas of a service share, in
// the service's own PostgreSQL database. The service's migrations create its table:
//
//	create table svcauth_replay (id bytea primary key, expires_at timestamptz not null);
//	create index on svcauth_replay (expires_at);
//
// Run deletes its expired records:
//
//	store := pgreplay.New(pool)
//	go store.Run(ctx, log)
//
// When a token is burnt, the database's clock decides whether it has expired. The record is kept
// for ten minutes after that. So no token works twice, however the clocks of replicas differ. If
// the database's clock is ahead of a replica's, tokens expire earlier by the difference. Up to
// svcauth.Leeway this has no effect on a caller whose clock is right.
package pgreplay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/batch"
	"example.com/micromachine/pkg/logsafe"
)

const (
	sweepEvery = 10 * time.Second
	sweepBatch = 1000
	// keepExpired is how far the database's clock may be set back, as by a failover, without a
	// record being deleted too early.
	keepExpired = 10 * time.Minute
)

// A Store implements svcauth.ReplayStore. It is safe for concurrent use, by any number of
// processes. Concurrent burns of a process share a transaction.
type Store struct {
	pool  *pgxpool.Pool
	burns *batch.Group[burn, bool]
}

// A burn is the use of a token, to be recorded.
type burn struct {
	id      [sha256.Size]byte
	expires pgtype.Timestamptz
}

// New returns a store in the pool's database. Its table grows until [Store.Run] runs in one of the
// replicas, or in all.
func New(pool *pgxpool.Pool) *Store {
	s := &Store{pool: pool}
	s.burns = batch.New(batch.Config[burn, bool]{Run: s.record})
	return s
}

// Burn records the use of a token. It reports whether this was the first use and the token has not
// expired: the time is before until, by the database's clock. It is exact across processes, because
// the primary key allows one of any number of concurrent inserts.
func (s *Store) Burn(ctx context.Context, issuer, id string, until time.Time) (bool, error) {
	b := burn{sha256.Sum256([]byte(issuer + "\x00" + id)), pgtype.Timestamptz{Time: until, Valid: true}}
	if until.IsZero() {
		b.expires.InfinityModifier = pgtype.Infinity
	}
	first, err := s.burns.Do(ctx, b)
	if err != nil {
		return false, fmt.Errorf("recording token: %w", err)
	}
	return first, nil
}

// record inserts a batch in the order of the IDs, so that two processes never deadlock. For each
// burn it reports whether it was the first, of a token that had not expired.
func (s *Store) record(ctx context.Context, batch []burn) ([]bool, error) {
	sorted := slices.SortedFunc(slices.Values(batch), func(a, b burn) int { return bytes.Compare(a.id[:], b.id[:]) })
	ids, expiries := make([][]byte, 0, len(batch)), make([]pgtype.Timestamptz, 0, len(batch))
	for _, b := range sorted {
		ids, expiries = append(ids, b.id[:]), append(expiries, b.expires)
	}
	rows, err := s.pool.Query(ctx, `
		insert into svcauth_replay (id, expires_at)
		select id, expires_at from unnest($1::bytea[], $2::timestamptz[]) as i (id, expires_at)
		on conflict do nothing returning id, expires_at > clock_timestamp()`, ids, expiries) // now() is the time before a wait for a lock
	if err != nil {
		return nil, err
	}
	unused := make(map[[sha256.Size]byte]bool, len(batch))
	var id []byte
	var valid bool
	_, err = pgx.ForEachRow(rows, []any{&id, &valid}, func() error {
		unused[[sha256.Size]byte(id)] = valid
		return nil
	})
	if err != nil {
		return nil, err
	}
	first := make([]bool, len(batch))
	for i, b := range batch {
		first[i] = unused[b.id]
		delete(unused, b.id) // a second one in the same batch is no first use
	}
	return first, nil
}

// Run deletes expired records until ctx ends. It does so in batches, and locks no other rows.
func (s *Store) Run(ctx context.Context, log *slog.Logger) {
	log = slog.New(logsafe.NewHandler(log.Handler()))
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("expired tokens cannot be deleted", "error", err)
		}
	}
}

// Sweep deletes the records that expired ten minutes ago or earlier, once. Concurrent sweeps share
// the work.
func (s *Store) Sweep(ctx context.Context) error {
	for {
		tag, err := s.pool.Exec(ctx, `delete from svcauth_replay where id in (
			select id from svcauth_replay where expires_at < now() - $1::interval limit $2 for update skip locked)`, keepExpired, sweepBatch)
		if err != nil {
			return fmt.Errorf("deleting expired tokens: %w", err)
		}
		if tag.RowsAffected() < sweepBatch {
			return nil
		}
	}
}
