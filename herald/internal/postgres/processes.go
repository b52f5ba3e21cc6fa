package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// PresenceClass is the first half of the key of the advisory lock that marks a process as alive.
// The second half is hashtext of the process's name. The value is "HERL" in ASCII.
const PresenceClass = 0x4845524c

// isAbsent returns the SQL condition that a process holds no presence lock. name is an SQL
// expression for the name of the process. pg_locks has the halves of a lock's key as unsigned
// numbers.
func isAbsent(name string) string {
	return fmt.Sprintf(`not exists (
		select from pg_locks l
		where l.locktype = 'advisory' and l.granted and l.objsubid = 2
			and l.database = (select oid from pg_database where datname = current_database())
			and l.classid = %d::bigint::oid
			and l.objid = (hashtext(%s)::bigint & 4294967295)::oid)`, PresenceClass, name)
}

// Absent returns the other processes that have running jobs and hold no presence lock.
func (s *Store) Absent(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, `
		select distinct `+lastFetcherSQL+` from river_job j
		where j.state = 'running' and `+lastFetcherSQL+` <> $1 and `+isAbsent(lastFetcherSQL), s.process)
	if err != nil {
		return nil, fmt.Errorf("looking for dead processes: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("looking for dead processes: %w", err)
	}
	return names, nil
}

// abandonedDetail is the detail of the attempts of dead processes.
const abandonedDetail = "Herald stopped before it knew the result of the attempt"

// Abandon makes the jobs of dead processes available. It skips a process that holds its presence
// lock again. Each job may have sent its mail, so Abandon records an attempt of unknown outcome and
// marks the notification as a possible duplicate. It returns the number of jobs.
func (s *Store) Abandon(ctx context.Context, dead []string) (jobs int64, err error) {
	tag, err := s.pool.Exec(ctx, `
		with abandoned as (
			update river_job j set state = 'available', scheduled_at = now()
			where j.state = 'running' and `+lastFetcherSQL+` = any($1) and `+isAbsent(lastFetcherSQL)+`
			returning j.id, j.attempt, j.attempted_at, (j.args->>'notification_id')::uuid as notification_id
		), marked as (
			update notifications n
			set possible_duplicate = true, last_execution = a.attempt, updated_at = now(),
				status = case n.status when 'sending' then 'queued' else n.status end
			from abandoned a where n.id = a.notification_id
			returning a.*, n.status
		), recorded as (
			insert into attempts (notification_id, number, started_at, finished_at, outcome, detail)
			select notification_id,
				(select coalesce(max(number), 0) + 1 from attempts where notification_id = m.notification_id),
				attempted_at, now(), 'unknown', '`+abandonedDetail+`'
			from marked m
		)
		select from abandoned`, dead)
	if err != nil {
		return 0, fmt.Errorf("recovering jobs: %w", err)
	}
	return tag.RowsAffected(), nil
}

// Unclaimed returns the executions that the database assigns to this process and that started
// longer than age ago. An execution that the process does not know was lost between the database
// and the process.
func (s *Store) Unclaimed(ctx context.Context, age time.Duration) ([]Execution, error) {
	rows, err := s.pool.Query(ctx, `
		select j.id as job, j.attempt as number, $1::text as process, j.attempted_at as started_at
		from river_job j
		where j.state = 'running' and `+lastFetcherSQL+` = $1 and j.attempted_at < now() - $2::interval`,
		s.process, age)
	if err != nil {
		return nil, fmt.Errorf("looking for lost jobs: %w", err)
	}
	executions, err := pgx.CollectRows(rows, pgx.RowToStructByName[Execution])
	if err != nil {
		return nil, fmt.Errorf("looking for lost jobs: %w", err)
	}
	return executions, nil
}
