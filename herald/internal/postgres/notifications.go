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

// Notification returns a notification of a creator with its attempts. The error is
// herald.ErrNotFound when the notification does not exist or belongs to another creator.
func (s *Store) Notification(ctx context.Context, creator string, id uuid.UUID) (*herald.Notification, error) {
	return s.one(ctx, `n.id = $1 and n.creator = $2`, id, creator)
}

// one reads a notification and its attempts in one snapshot. While the job is running, the status
// is sending, and the attempts include the one in progress, which is not stored yet.
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
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, herald.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading notification: %w", err)
	}
	return r.notification(), nil
}

// A row is a row of a query for a notification.
type row struct {
	ID                uuid.UUID
	Creator           string
	UserID            int64
	Type              herald.Type
	Status            herald.Status
	PossibleDuplicate bool
	CreatedAt         time.Time
	UpdatedAt         time.Time
	NextAttemptAt     *time.Time
	Attempts          []attemptRow
}

// An attemptRow is an element of the JSON array row.Attempts.
type attemptRow struct {
	Number     int            `json:"number"`
	StartedAt  time.Time      `json:"started_at"`
	FinishedAt *time.Time     `json:"finished_at"`
	Outcome    herald.Outcome `json:"outcome"`
	SMTPCode   int            `json:"smtp_code"`
	Detail     string         `json:"detail"`
}

// notification converts the row. All times are in UTC, whatever the time zone of the database
// connection.
func (r *row) notification() *herald.Notification {
	n := &herald.Notification{
		Request: herald.Request{Creator: r.Creator, UserID: r.UserID, Type: r.Type},
		ID:      r.ID, Status: r.Status, PossibleDuplicate: r.PossibleDuplicate,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), NextAttemptAt: inUTC(r.NextAttemptAt),
	}
	for _, a := range r.Attempts {
		n.Attempts = append(n.Attempts, herald.Attempt{
			Number: a.Number, StartedAt: a.StartedAt.UTC(), FinishedAt: inUTC(a.FinishedAt),
			Result: herald.Result{Outcome: a.Outcome, SMTPCode: a.SMTPCode, Detail: a.Detail},
		})
	}
	return n
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}
