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

// Notification returns a notification with its attempts to its creator. To anybody
// else the error is herald.ErrNotFound, as for one that does not exist.
func (s *Store) Notification(ctx context.Context, creator string, id uuid.UUID) (*herald.Notification, error) {
	return s.one(ctx, `n.id = $1 and n.creator = $2`, id, creator)
}

// one reads a notification and its attempts as they are at one moment. While its job is executed,
// the notification is being sent, and an attempt is under way that is not recorded yet.
func (s *Store) one(ctx context.Context, condition string, args ...any) (*herald.Notification, error) {
	rows, err := s.pool.Query(ctx, `
		select n.id, n.creator, n.user_id, n.type, n.possible_duplicate, n.created_at, n.updated_at,
			case when j.id is null then n.status else 'sending' end as status,
			case when j.id is null then n.next_attempt_at end as next_attempt_at,
			coalesce((
				select json_agg(a order by a.number) from (
					select number, started_at, finished_at, outcome, smtp_code, detail
					from attempts where notification_id = n.id
					union all
					select (select coalesce(max(number), 0) + 1 from attempts where notification_id = n.id),
						j.attempted_at, null as finished_at, null as outcome, null as smtp_code, null as detail
					where j.id is not null
				) a
			), '[]') as attempts
		from notifications n
			left join river_job j on j.id = n.job_id and j.state = 'running' and n.status in ('queued', 'sending')
		where `+condition, args...)
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
