// Package postgres stores the entries of Journal in PostgreSQL. The statement that reads an entry
// also checks its owner.
package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/scaffold/journal"
	"example.com/micromachine/pkg/svcauth/pgreplay"
)

// Store is Journal's storage. It is safe for concurrent use.
type Store struct{ pool *pgxpool.Pool }

// New returns a store in the pool's database, which migrations.Up must have migrated.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Ready returns nil when the database has its schema and accepts writes.
func (s *Store) Ready(ctx context.Context) error {
	return pgreplay.TryWrite(ctx, s.pool, "journal_entries")
}

// CreateEntry stores a new entry and returns it with its ID and the time of its creation.
func (s *Store) CreateEntry(ctx context.Context, entry journal.Entry) (journal.Entry, error) {
	return s.query(ctx, `
		insert into journal_entries (owner, user_id, text) values ($1, $2, $3)
		returning id, owner, user_id, text, created_at`, entry.Owner, entry.UserID, entry.Text)
}

// Entry returns an entry of the owner. It returns [journal.ErrNotFound] when the entry does not
// exist or belongs to another owner.
func (s *Store) Entry(ctx context.Context, owner string, id uuid.UUID) (journal.Entry, error) {
	entry, err := s.query(ctx, `
		select id, owner, user_id, text, created_at from journal_entries where id = $1 and owner = $2`, id, owner)
	if errors.Is(err, pgx.ErrNoRows) {
		return journal.Entry{}, journal.ErrNotFound
	}
	return entry, err
}

func (s *Store) query(ctx context.Context, sql string, args ...any) (journal.Entry, error) {
	rows, _ := s.pool.Query(ctx, sql, args...) // CollectExactlyOneRow returns its error
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[journal.Entry])
}
