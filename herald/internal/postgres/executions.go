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

// An Execution is one run of a notification's job by one process. All fields together are a fencing
// token: every write about the execution checks that they still match the job. Number and Process
// alone are not enough: a job that is handed back keeps its number, and the same process may fetch
// it again.
type Execution struct {
	Job       int64
	Number    int       // from 1
	Process   string    // the process that runs it
	StartedAt time.Time // the time of the fetch, by the database's clock
}

// A Conclusion is the result of an execution.
type Conclusion struct {
	Execution
	NotificationID uuid.UUID
	herald.Result
	// RetryAfter is the pause before the next attempt. It is used when the outcome is not final.
	RetryAfter time.Duration
	// GiveUpAfter is the latest start of an attempt, as a duration after the notification's
	// creation.
	GiveUpAfter time.Duration
}

// Concluded is the state of the notification after a conclusion.
type Concluded struct {
	// Owned is false when the execution no longer owns its job. Nothing was written then.
	Owned         bool
	Status        herald.Status
	NextAttemptAt *time.Time
}

// Pending returns a notification without its attempts, for an execution of its job. The error is
// herald.ErrNotFound when the notification does not exist.
func (s *Store) Pending(ctx context.Context, id uuid.UUID) (*herald.Notification, error) {
	rows, err := s.pool.Query(ctx, `
		select id, creator, user_id, type, status, possible_duplicate, created_at, updated_at, next_attempt_at
		from notifications where id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("reading notification: %w", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByNameLax[row])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, herald.ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("reading notification: %w", err)
	}
	return r.notification(), nil
}

// Conclude records the result of an execution. In the same transaction it completes the job or
// schedules the next attempt. Concurrent calls share a transaction. A notification that is sent or
// failed keeps its status. All times are by the database's clock.
func (s *Store) Conclude(ctx context.Context, c Conclusion) (Concluded, error) {
	concluded, err := s.conclusions.Do(ctx, c)
	if err != nil {
		return Concluded{}, fmt.Errorf("concluding attempt: %w", err)
	}
	return concluded, nil
}

// lastFetcherSQL is an SQL expression for the process that last fetched the job j.
const lastFetcherSQL = `j.attempted_by[array_upper(j.attempted_by, 1)]`

// isOwned is the SQL condition that the execution in the parameters 1 to 4 still owns the job j.
const isOwned = `j.id = $1 and j.state = 'running' and j.attempt = $2 and j.attempted_at = $4
	and ` + lastFetcherSQL + ` = $3`

// concludeSQL locks the jobs that the executions still own, and writes the conclusions of those
// only.
//
//nolint:unqueryvet // * stands for the columns of input
const concludeSQL = `
with input as (
	select job_id, execution, process, notification_id, started_at, outcome, smtp_code, detail,
		retry_after, give_up_after, place
	from unnest($1::bigint[], $2::int[], $3::text[], $4::uuid[], $5::timestamptz[], $6::text[],
			$7::int[], $8::text[], $9::interval[], $10::interval[]) with ordinality
		as i (job_id, execution, process, notification_id, started_at, outcome, smtp_code, detail,
			retry_after, give_up_after, place)
), owned as (
	select i.* from river_job j join input i on j.id = i.job_id
	where j.state = 'running' and j.attempt = i.execution and j.attempted_at = i.started_at
		and ` + lastFetcherSQL + ` = i.process
	order by j.id for update of j
), concluded as (
	update notifications n
	set status = case
			when n.status in ('sent', 'failed') then n.status
			when o.outcome = 'accepted' then 'sent'
			when o.outcome = 'refused' or now() + o.retry_after > n.created_at + o.give_up_after then 'failed'
			else 'queued' end,
		next_attempt_at = case
			when n.status not in ('sent', 'failed') and o.outcome not in ('accepted', 'refused')
				and now() + o.retry_after <= n.created_at + o.give_up_after then now() + o.retry_after end,
		possible_duplicate = n.possible_duplicate or o.outcome = 'unknown' or n.last_execution < o.execution - 1,
		last_execution = o.execution,
		updated_at = now()
	from owned o where n.id = o.notification_id
	returning o.*, n.status, n.next_attempt_at
), jobs as (
	update river_job j
	set state = case when c.next_attempt_at is null then 'completed' else 'available' end::river_job_state,
		finalized_at = case when c.next_attempt_at is null then now() end,
		scheduled_at = coalesce(c.next_attempt_at, j.scheduled_at)
	from concluded c where j.id = c.job_id
), attempts as (
	insert into attempts (notification_id, number, started_at, finished_at, outcome, smtp_code, detail)
	select notification_id,
		(select coalesce(max(a.number), 0) + 1 from attempts a where a.notification_id = c.notification_id),
		started_at, now(), outcome, nullif(smtp_code, 0), nullif(detail, '')
	from concluded c
)
select place, status, next_attempt_at from concluded`

// conclude writes a batch of conclusions in one statement.
func (s *Store) conclude(ctx context.Context, batch []Conclusion) ([]Concluded, error) {
	n := len(batch)
	jobs, executions, processes := make([]int64, n), make([]int, n), make([]string, n)
	notifications, started := make([]uuid.UUID, n), make([]time.Time, n)
	outcomes, codes, details := make([]herald.Outcome, n), make([]int, n), make([]string, n)
	retryAfter, giveUpAfter := make([]time.Duration, n), make([]time.Duration, n)
	for i := range batch {
		c := &batch[i]
		jobs[i], executions[i], processes[i] = c.Job, c.Number, c.Process
		notifications[i], started[i] = c.NotificationID, c.StartedAt
		outcomes[i], codes[i], details[i] = c.Outcome, c.SMTPCode, c.Detail
		retryAfter[i], giveUpAfter[i] = c.RetryAfter, c.GiveUpAfter
	}
	rows, err := s.pool.Query(ctx, concludeSQL, jobs, executions, processes, notifications, started,
		outcomes, codes, details, retryAfter, giveUpAfter)
	if err != nil {
		return nil, err
	}
	results := make([]Concluded, n)
	var place int // the position in the batch, from 1: several executions may share a job
	concluded := Concluded{Owned: true}
	_, err = pgx.ForEachRow(rows, []any{&place, &concluded.Status, &concluded.NextAttemptAt}, func() error {
		results[place-1] = concluded
		return nil
	})
	return results, err
}

// HandBack makes the job of an execution available after a pause, as if the execution had not
// happened. It is for executions without an attempt. It does nothing when the execution no longer
// owns the job.
func (s *Store) HandBack(ctx context.Context, e Execution, after time.Duration) error {
	_, err := s.pool.Exec(ctx, `
		update river_job j set state = 'available', attempt = attempt - 1, scheduled_at = now() + $5::interval
		where `+isOwned, e.Job, e.Number, e.Process, e.StartedAt, after)
	if err != nil {
		return fmt.Errorf("handing a job back: %w", err)
	}
	return nil
}

// Discard completes the job of an execution whose notification is sent or failed. With cancelled
// set it cancels the job, whose notification no longer exists. It does nothing when the execution
// no longer owns the job.
func (s *Store) Discard(ctx context.Context, e Execution, cancelled bool) error {
	state := "completed"
	if cancelled {
		state = "cancelled"
	}
	_, err := s.pool.Exec(ctx, `
		update river_job j set state = $5::river_job_state, finalized_at = now()
		where `+isOwned, e.Job, e.Number, e.Process, e.StartedAt, state)
	if err != nil {
		return fmt.Errorf("ending a job: %w", err)
	}
	return nil
}
