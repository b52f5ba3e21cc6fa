package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/batch"
)

// An acceptance is a notification to be stored with its job.
type acceptance struct {
	id    uuid.UUID
	claim herald.Claim
}

// accepted is what came of an acceptance.
type accepted struct {
	createdAt time.Time
	err       error
}

// Create stores a new notification, the job that delivers it and, where the claim has a key, the
// answer to the key: all or nothing, and durably once it returns without error. Concurrent calls
// share a transaction.
//
// The error is herald.ErrKeyInUse when the claim is not, or no longer, in force, and
// herald.ErrInDoubt when the answer to the commit is lost, or ctx ends before it comes.
func (s *Store) Create(ctx context.Context, claim herald.Claim) (*herald.Notification, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("creating notification: %w", err)
	}
	a, err := s.accepts.Do(ctx, acceptance{id, claim})
	if errors.Is(err, batch.ErrInDoubt) {
		err = fmt.Errorf("%w: %w", herald.ErrInDoubt, err)
	}
	if err = errors.Join(err, a.err); err != nil {
		return nil, fmt.Errorf("creating notification: %w", err)
	}
	return herald.New(id, claim.Request, a.createdAt.UTC()), nil
}

// accept stores a batch of notifications in one transaction.
func (s *Store) accept(ctx context.Context, batch []acceptance) ([]accepted, error) {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // of no effect after a commit
	inForce, err := lockClaims(ctx, tx, batch)
	if err != nil {
		return nil, err
	}
	results := make([]accepted, len(batch))
	var valid []acceptance
	for i, a := range batch {
		if a.claim.Key != "" && !inForce[claimKey{a.claim.Creator, a.claim.Key}] {
			results[i].err = herald.ErrKeyInUse
			continue
		}
		valid = append(valid, a)
	}
	if len(valid) == 0 {
		return results, nil
	}
	createdAt, err := s.insert(ctx, tx, valid)
	if err != nil {
		return nil, err
	}
	for i := range results {
		results[i].createdAt = createdAt
	}
	return results, commit(ctx, tx)
}

// commit commits. When the database does not say what came of it, the error is herald.ErrInDoubt.
func commit(ctx context.Context, tx pgx.Tx) error {
	err := tx.Commit(ctx)
	if _, refused := errors.AsType[*pgconn.PgError](err); err == nil || refused || errors.Is(err, pgx.ErrTxCommitRollback) {
		return err
	}
	return fmt.Errorf("%w: %w", herald.ErrInDoubt, err)
}

// insert inserts notifications with their jobs and settles their claims. It returns the time of
// the transaction, by the database's clock.
func (s *Store) insert(ctx context.Context, tx pgx.Tx, batch []acceptance) (createdAt time.Time, err error) {
	params := make([]river.InsertManyParams, 0, len(batch))
	for _, a := range batch {
		params = append(params, river.InsertManyParams{Args: herald.Delivery{NotificationID: a.id}})
	}
	jobs, err := s.jobs.InsertManyTx(ctx, tx, params)
	if err != nil {
		return createdAt, err
	}
	var columns struct {
		ids      []uuid.UUID
		creators []string
		users    []int64
		types    []herald.Type
		jobs     []int64
	}
	for i, a := range batch {
		columns.ids = append(columns.ids, a.id)
		columns.creators = append(columns.creators, a.claim.Creator)
		columns.users = append(columns.users, a.claim.UserID)
		columns.types = append(columns.types, a.claim.Type)
		columns.jobs = append(columns.jobs, jobs[i].Job.ID)
	}
	err = tx.QueryRow(ctx, `
		with inserted as (
			insert into notifications (id, creator, user_id, type, job_id, status, created_at, updated_at)
			select id, creator, user_id, type, job_id, 'queued', now(), now()
			from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bigint[])
				as i (id, creator, user_id, type, job_id)
		)
		select now()`,
		columns.ids, columns.creators, columns.users, columns.types, columns.jobs).Scan(&createdAt)
	if err != nil {
		return createdAt, err
	}
	return createdAt, settleClaims(ctx, tx, batch)
}

// rejectsOne reports whether an error may lie in one row of a batch: invalid data, a violated
// constraint, or an exception of a trigger.
func rejectsOne(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(pgErr.Code) != 5 {
		return false
	}
	class := pgErr.Code[:2]
	return class == "22" || class == "23" || class == "P0"
}
