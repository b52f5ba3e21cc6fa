package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/outage"
)

// A recovery makes the jobs of processes that have died available again. River
// itself does so only when a job must have run out of time, which is minutes.
type recovery struct {
	pool      *pgxpool.Pool
	self      string
	deadAfter time.Duration
	log       *slog.Logger
	failing   *outage.Log
	missed    map[string]time.Time // processes that have jobs and no presence, since when
}

// run looks for the dead until ctx ends.
func (r *recovery) run(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := r.look(ctx); ctx.Err() == nil {
			r.failing.Observe(ctx, err)
		}
	}
}

// look makes one round. A process is dead when it has been missed in every look
// for some time, as one that lives may lose its presence for a moment.
func (r *recovery) look(ctx context.Context) error {
	absent, err := r.absent(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	missed := make(map[string]time.Time, len(absent))
	var dead []string
	for _, id := range absent {
		since, known := r.missed[id]
		switch {
		case !known:
			missed[id] = now
		case now.Sub(since) < r.deadAfter:
			missed[id] = since
		default:
			dead = append(dead, id)
		}
	}
	r.missed = missed
	if len(dead) == 0 {
		return nil
	}
	return r.release(ctx, dead)
}

// owner is the process that works a job, and isAbsent holds when the process whose
// ID stands in owner holds no lock. pg_locks has a lock's keys as unsigned numbers.
const (
	owner    = `attempted_by[array_upper(attempted_by, 1)]`
	isAbsent = `not exists (
		select from pg_locks l
		where l.locktype = 'advisory' and l.granted and l.objsubid = 2
			and l.database = (select oid from pg_database where datname = current_database())
			and l.classid = @class::bigint::oid
			and l.objid = (hashtext(` + owner + `)::bigint & 4294967295)::oid)`
)

// absent returns the processes that have jobs under way and no presence.
func (r *recovery) absent(ctx context.Context) ([]string, error) {
	rows, err := r.pool.Query(ctx, `
		select distinct `+owner+` from river_job
		where state = 'running' and `+owner+` <> @self and `+isAbsent,
		pgx.NamedArgs{"class": lockClass, "self": r.self})
	if err != nil {
		return nil, fmt.Errorf("looking for dead processes: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("looking for dead processes: %w", err)
	}
	return ids, nil
}

// release makes the jobs of the dead available, unless one turns out to live.
func (r *recovery) release(ctx context.Context, dead []string) error {
	tag, err := r.pool.Exec(ctx, `
		update river_job set state = 'available', scheduled_at = now()
		where state = 'running' and `+owner+` = any(@dead) and `+isAbsent,
		pgx.NamedArgs{"class": lockClass, "dead": dead})
	if err != nil {
		return fmt.Errorf("recovering jobs: %w", err)
	}
	r.log.WarnContext(ctx, "jobs of dead processes recovered", slog.Any("processes", dead), slog.Int64("jobs", tag.RowsAffected()))
	return nil
}
