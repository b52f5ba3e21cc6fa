package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/micromachine/herald"
)

// Take returns a notification to the one who works its job. An attempt that is
// still under way is then one whose process has ended, or is taken to have: nobody
// knows what came of it, and the mail may go out a second time.
//
// The error is herald.ErrNotFound when there is no such notification.
func (s *Store) Take(ctx context.Context, id uuid.UUID) (*herald.Notification, error) {
	_, err := s.pool.Exec(ctx, `
		with abandoned as (
			update attempts
			set finished_at = $2, outcome = 'unknown', detail = 'Herald stopped before it knew what came of the attempt'
			where notification_id = $1 and finished_at is null
			returning notification_id
		)
		update notifications
		set status = 'queued', possible_duplicate = true, updated_at = $2
		where id in (select notification_id from abandoned) and status = 'sending'`,
		id, now())
	if err != nil {
		return nil, fmt.Errorf("taking notification: %w", err)
	}
	return s.one(ctx, `n.id = $1`, id)
}

// Begin records that an attempt is about to send the mail, and returns its number.
// The error is herald.ErrNotQueued when another attempt is sending it, or has sent
// it, already.
func (s *Store) Begin(ctx context.Context, id uuid.UUID, startedAt time.Time) (number int, err error) {
	err = s.pool.QueryRow(ctx, `
		with notification as (
			update notifications set status = 'sending', next_attempt_at = null, updated_at = $3
			where id = $1 and status = 'queued'
			returning id
		)
		insert into attempts (notification_id, number, started_at)
		select id, `+nextNumber+`, $2 from notification
		returning number`,
		id, startedAt, now()).Scan(&number)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, herald.ErrNotQueued
	}
	if err != nil {
		return 0, fmt.Errorf("beginning attempt: %w", err)
	}
	return number, nil
}

// nextNumber is the number of a notification's next attempt.
const nextNumber = `(select coalesce(max(number), 0) + 1 from attempts where notification_id = $1)`

// Conclude records what came of an attempt: one that Begin has recorded, or with
// the number 0 one that came to nothing before. The notification is then sent, or
// queued for its next attempt, or failed when next is nil. What is sent stays sent.
//
// In the same transaction complete is called, to settle the job.
func (s *Store) Conclude(
	ctx context.Context, id uuid.UUID, a herald.Attempt, next *time.Time, complete func(pgx.Tx) error,
) error {
	finished := now()
	a.FinishedAt = &finished
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := recordAttempt(ctx, tx, id, a); err != nil {
			return err
		}
		if err := recordStatus(ctx, tx, id, a, next); err != nil {
			return err
		}
		return complete(tx)
	})
	if err != nil {
		return fmt.Errorf("concluding attempt: %w", err)
	}
	return nil
}

func recordAttempt(ctx context.Context, tx pgx.Tx, id uuid.UUID, a herald.Attempt) error {
	_, err := tx.Exec(ctx, `
		insert into attempts (notification_id, number, started_at, finished_at, outcome, smtp_code, detail)
		values ($1, coalesce(nullif($2, 0), `+nextNumber+`), $3, $4, $5, nullif($6, 0), nullif($7, ''))
		on conflict (notification_id, number) do update
		set finished_at = excluded.finished_at, outcome = excluded.outcome,
			smtp_code = excluded.smtp_code, detail = excluded.detail`,
		id, a.Number, a.StartedAt, a.FinishedAt, a.Outcome, a.SMTPCode, a.Detail)
	return err
}

func recordStatus(ctx context.Context, tx pgx.Tx, id uuid.UUID, a herald.Attempt, next *time.Time) error {
	status := herald.Failed
	switch {
	case a.Outcome == herald.Accepted:
		status = herald.Sent
	case next != nil:
		status = herald.Queued
	}
	_, err := tx.Exec(ctx, `
		update notifications
		set status = $2, next_attempt_at = $3, updated_at = $4, possible_duplicate = possible_duplicate or $5
		where id = $1 and status <> 'sent'`,
		id, status, next, a.FinishedAt, a.Outcome == herald.Unknown)
	return err
}
