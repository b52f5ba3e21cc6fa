package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"example.com/micromachine/herald/internal/postgres"
	"example.com/micromachine/pkg/outage"
)

// unclaimedAge is how long an execution may be assigned to this process in the database before the
// worker must have started it.
const unclaimedAge = 3 * time.Second

// A recovery makes jobs available again that no process executes: the jobs of dead processes, and
// the jobs that were lost between the database and this process. River itself does so only after
// the job's time limit.
type recovery struct {
	store      *postgres.Store
	executions *executions
	deadAfter  time.Duration
	log        *slog.Logger
	outages    *outage.Log
	absent     map[string]time.Time // processes with jobs and without presence, by first observation
}

// run searches for such jobs until ctx ends.
func (r *recovery) run(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := errors.Join(r.recoverDead(ctx), r.recoverLost(ctx))
		if ctx.Err() == nil {
			r.outages.Observe(ctx, err)
		}
	}
}

// recoverDead recovers the jobs of dead processes. A process counts as dead when every check during
// deadAfter found it absent, as a live process may lose its presence for a moment.
func (r *recovery) recoverDead(ctx context.Context) error {
	processes, err := r.store.Absent(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	absent := make(map[string]time.Time, len(processes))
	var dead []string
	for _, process := range processes {
		since, known := r.absent[process]
		switch {
		case !known:
			absent[process] = now
		case now.Sub(since) < r.deadAfter:
			absent[process] = since
		default:
			dead = append(dead, process)
		}
	}
	r.absent = absent
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

// recoverLost hands back the jobs that the database assigns to this process and that it does not
// execute.
func (r *recovery) recoverLost(ctx context.Context) error {
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
