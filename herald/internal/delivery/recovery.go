package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"example.com/micromachine/herald/internal/postgres"
	"example.com/micromachine/pkg/outage"
)

// unclaimedAge is how long an execution may be under way in this process's name before the worker
// must know of it.
const unclaimedAge = 3 * time.Second

// A recovery makes the jobs available again that nobody works: those of processes that have died,
// and those that were lost on their way from the database to this process. River itself does so
// only when a job must have run out of time.
type recovery struct {
	store      *postgres.Store
	executions *executions
	deadAfter  time.Duration
	log        *slog.Logger
	failing    *outage.Log
	missed     map[string]time.Time // processes that have jobs and no presence, since when
}

// run looks for such jobs until ctx ends.
func (r *recovery) run(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := errors.Join(r.lookForDead(ctx), r.lookForLost(ctx))
		if ctx.Err() == nil {
			r.failing.Observe(ctx, err)
		}
	}
}

// lookForDead makes one round. A process is dead when it has been missed in every look
// for some time, as one that lives may lose its presence for a moment.
func (r *recovery) lookForDead(ctx context.Context) error {
	absent, err := r.store.Absent(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	missed := make(map[string]time.Time, len(absent))
	var dead []string
	for _, process := range absent {
		since, known := r.missed[process]
		switch {
		case !known:
			missed[process] = now
		case now.Sub(since) < r.deadAfter:
			missed[process] = since
		default:
			dead = append(dead, process)
		}
	}
	r.missed = missed
	if len(dead) == 0 {
		return nil
	}
	jobs, err := r.store.Abandon(ctx, dead)
	if err != nil {
		return err
	}
	r.log.WarnContext(ctx, "jobs of dead processes recovered", slog.Any("processes", dead), slog.Int64("jobs", jobs))
	return nil
}

// lookForLost hands back the jobs in this process's name that it does not work.
func (r *recovery) lookForLost(ctx context.Context) error {
	executions, err := r.store.Unclaimed(ctx, unclaimedAge)
	if err != nil {
		return err
	}
	for _, e := range executions {
		if !r.executions.giveUp(e.Job, e.StartedAt) {
			continue
		}
		if err := r.store.HandBack(ctx, e, 0); err != nil {
			return err
		}
		r.log.WarnContext(ctx, "lost job handed back", slog.Int64("job", e.Job))
	}
	return nil
}
