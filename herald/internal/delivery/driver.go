package delivery

import (
	"context"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// A driver is River's driver without the completion of jobs. The worker completes each job itself,
// in the transaction that records the result. River identifies a job by its ID alone. If another
// process had taken the job over, River would complete the other process's execution. If the job is
// completed already, River's transaction is redundant.
type driver struct{ *riverpgxv5.Driver }

// GetExecutor implements [riverdriver.Driver].
func (d driver) GetExecutor() riverdriver.Executor { return executor{d.Driver.GetExecutor()} }

type executor struct{ riverdriver.Executor }

// JobSetStateIfRunningMany implements [riverdriver.Executor]. It ignores completions. The other
// changes concern jobs that never reached the worker.
func (e executor) JobSetStateIfRunningMany(
	ctx context.Context, params *riverdriver.JobSetStateIfRunningManyParams,
) ([]*rivertype.JobRow, error) {
	rest := *params
	var keep []int
	for i, state := range params.State {
		if state != rivertype.JobStateCompleted {
			keep = append(keep, i)
		}
	}
	if len(keep) == 0 {
		return nil, nil
	}
	rest.ID, rest.Attempt = pick(params.ID, keep), pick(params.Attempt, keep)
	rest.ErrData, rest.FinalizedAt = pick(params.ErrData, keep), pick(params.FinalizedAt, keep)
	rest.MetadataDoMerge, rest.MetadataUpdates = pick(params.MetadataDoMerge, keep), pick(params.MetadataUpdates, keep)
	rest.ScheduledAt, rest.State = pick(params.ScheduledAt, keep), pick(params.State, keep)
	return e.Executor.JobSetStateIfRunningMany(ctx, &rest)
}

func pick[T any](all []T, indices []int) []T {
	picked := make([]T, 0, len(indices))
	for _, i := range indices {
		picked = append(picked, all[i])
	}
	return picked
}
