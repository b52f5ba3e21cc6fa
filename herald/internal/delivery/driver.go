package delivery

import (
	"context"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// A driver is River's driver without the completion of jobs, as the worker ends each job itself,
// with the result of its execution. River completes a job by its ID alone. For a job that another
// process has taken over that would end the other's execution, and for one that is ended already it
// is a transaction for nothing.
type driver struct{ *riverpgxv5.Driver }

// GetExecutor implements [riverdriver.Driver].
func (d driver) GetExecutor() riverdriver.Executor { return executor{d.Driver.GetExecutor()} }

type executor struct{ riverdriver.Executor }

// JobSetStateIfRunningMany implements [riverdriver.Executor]. What is left is the jobs that never
// came to the worker.
func (e executor) JobSetStateIfRunningMany(
	ctx context.Context, params *riverdriver.JobSetStateIfRunningManyParams,
) ([]*rivertype.JobRow, error) {
	left := *params
	var keep []int
	for i, state := range params.State {
		if state != rivertype.JobStateCompleted {
			keep = append(keep, i)
		}
	}
	if len(keep) == 0 {
		return nil, nil
	}
	left.ID, left.Attempt = pick(params.ID, keep), pick(params.Attempt, keep)
	left.ErrData, left.FinalizedAt = pick(params.ErrData, keep), pick(params.FinalizedAt, keep)
	left.MetadataDoMerge, left.MetadataUpdates = pick(params.MetadataDoMerge, keep), pick(params.MetadataUpdates, keep)
	left.ScheduledAt, left.State = pick(params.ScheduledAt, keep), pick(params.State, keep)
	return e.Executor.JobSetStateIfRunningMany(ctx, &left)
}

func pick[T any](all []T, indices []int) []T {
	picked := make([]T, 0, len(indices))
	for _, i := range indices {
		picked = append(picked, all[i])
	}
	return picked
}
