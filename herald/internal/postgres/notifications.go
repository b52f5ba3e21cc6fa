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

// Create keeps a new notification, the job that delivers it and, where the claim
// has a key, the answer to the key: all or nothing, and for good once it returns
// without error. The error is herald.ErrKeyInUse when the claim is not, or no
// longer, in force.
func (s *Store) Create(ctx context.Context, claim herald.Claim) (*herald.Notification, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("creating notification: %w", err)
	}
	n := herald.New(id, claim.Request, now())
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := insertNotification(ctx, tx, n); err != nil {
			return err
		}
		if err := settle(ctx, tx, claim, n.ID); err != nil {
			return err
		}
		_, err := s.jobs.InsertTx(ctx, tx, herald.Delivery{NotificationID: n.ID}, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating notification: %w", err)
	}
	return n, nil
}

// now is the time as the database keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func insertNotification(ctx context.Context, tx pgx.Tx, n *herald.Notification) error {
	_, err := tx.Exec(ctx, `
		insert into notifications (id, creator, user_id, type, status, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $6)`,
		n.ID, n.Creator, n.UserID, n.Type, n.Status, n.CreatedAt)
	return err
}

// Notification returns a notification with its attempts to its creator. To anybody
// else the error is herald.ErrNotFound, as for one that does not exist.
func (s *Store) Notification(ctx context.Context, creator string, id uuid.UUID) (*herald.Notification, error) {
	return s.one(ctx, `n.id = $1 and n.creator = $2`, id, creator)
}

// one reads a notification and its attempts as they are at one moment.
func (s *Store) one(ctx context.Context, condition string, args ...any) (*herald.Notification, error) {
	rows, err := s.pool.Query(ctx, `
		select n.id, n.creator, n.user_id, n.type, n.status, n.possible_duplicate,
			n.created_at, n.updated_at, n.next_attempt_at,
			coalesce((
				select json_agg(json_build_object(
					'number', a.number, 'started_at', a.started_at, 'finished_at', a.finished_at,
					'outcome', a.outcome, 'smtp_code', a.smtp_code, 'detail', a.detail) order by a.number)
				from attempts a where a.notification_id = n.id
			), '[]') as attempts
		from notifications n where `+condition, args...)
	if err != nil {
		return nil, fmt.Errorf("reading notification: %w", err)
	}
	n, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[herald.Notification])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, herald.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading notification: %w", err)
	}
	toUTC(n)
	return n, nil
}

// toUTC takes the times out of whatever zone the database connection is in.
func toUTC(n *herald.Notification) {
	times := []*time.Time{&n.CreatedAt, &n.UpdatedAt, n.NextAttemptAt}
	for i := range n.Attempts {
		times = append(times, &n.Attempts[i].StartedAt, n.Attempts[i].FinishedAt)
	}
	for _, t := range times {
		if t != nil {
			*t = t.UTC()
		}
	}
}
