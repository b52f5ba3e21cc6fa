// Package postgres stores the users of Census in PostgreSQL.
//
// Each operation has an actor. The SQL statement that reads or writes also checks whether the actor
// may do so. A separate check before it could be outdated when the statement runs.
package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/census"
	"example.com/micromachine/pkg/batch"
	"example.com/micromachine/pkg/svcauth/pgreplay"
)

// Store is Census's storage. It is safe for concurrent use.
type Store struct {
	pool  *pgxpool.Pool
	reads *batch.Group[userRead, *census.User]
}

// New returns a store in the pool's database, which migrations.Up must have migrated.
func New(pool *pgxpool.Pool) *Store {
	s := &Store{pool: pool}
	s.reads = batch.New(batch.Config[userRead, *census.User]{Run: s.readUsers})
	return s
}

// Ready returns nil when the database has its schema and accepts writes.
func (s *Store) Ready(ctx context.Context) error {
	return pgreplay.TryWrite(ctx, s.pool, "users", "viewers")
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// userColumns are the columns of census.User, from users as u.
const userColumns = `u.id, u.name, u.email, u.locale, u.admin`

// The rights of an actor, as SQL conditions on users as u. Their parameters come from actorArgs.
// They are false for an actor that does not exist.
const (
	isAdmin = `(@operator::boolean or
		@admin::boolean and exists (select from users a where a.id = @actor and a.admin))`
	mayChange = `(u.id = @actor or ` + isAdmin + `)`
	maySee    = `(u.id = @actor or
		exists (select from viewers v where v.user_id = u.id and v.viewer_id = @actor) or ` + isAdmin + `)`
)

func actorArgs(actor census.Actor) pgx.NamedArgs {
	return pgx.NamedArgs{"actor": actor.ID, "admin": actor.Admin, "operator": actor.IsOperator()}
}

// refusal returns the error of a statement that found no user. It is census.ErrNotFound for an
// actor who may see every user. Other actors get census.ErrForbidden, so that the error does not
// reveal whether the user exists.
func (s *Store) refusal(ctx context.Context, actor census.Actor) error {
	var seesAll bool
	err := s.pool.QueryRow(ctx, `select `+isAdmin, actorArgs(actor)).Scan(&seesAll)
	switch {
	case err != nil:
		return fmt.Errorf("looking for the actor: %w", err)
	case seesAll:
		return census.ErrNotFound
	}
	return census.ErrForbidden
}

// violatedConstraint returns the name of the constraint that err violates, or "".
func violatedConstraint(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.ConstraintName
	}
	return ""
}
