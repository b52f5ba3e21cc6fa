package delivery

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// A Schedule says when to try again what has failed. The pause after each failure
// is twice the one before, with up to jitter more by chance.
type Schedule struct {
	First  time.Duration // the pause after the first failure, 10 s by default
	Max    time.Duration // the longest pause, 1 h by default
	GiveUp time.Duration // no attempt begins later than so long after the creation, 24 h by default
}

// jitter is the part of a pause that chance may add, so that what failed together
// is not tried again together.
const jitter = 0.3

func (s Schedule) withDefaults() Schedule {
	return Schedule{
		First:  cmp.Or(s.First, 10*time.Second),
		Max:    cmp.Or(s.Max, time.Hour),
		GiveUp: cmp.Or(s.GiveUp, 24*time.Hour),
	}
}

// Pause returns how long to wait after so many failures, 1 or more.
func (s Schedule) Pause(failures int) time.Duration {
	longest := time.Duration(float64(s.Max) / (1 + jitter))
	pause := min(s.First, longest)
	for i := 1; i < failures && pause < longest; i++ {
		pause = min(2*pause, longest)
	}
	return pause + time.Duration(rand.Float64()*jitter*float64(pause)) //nolint:gosec // nothing to guess
}

// Next returns when to try again what was created then and has failed so often;
// nil when it is to be given up.
func (s Schedule) Next(created, now time.Time, failures int) *time.Time {
	next := now.Add(s.Pause(failures)).UTC().Truncate(time.Microsecond)
	if next.After(created.Add(s.GiveUp)) {
		return nil
	}
	return &next
}

// NextRetry implements [river.ClientRetryPolicy], for failures that could not even
// be recorded. River gives up on none of them for weeks.
func (s Schedule) NextRetry(job *rivertype.JobRow) time.Time {
	return time.Now().Add(s.Pause(job.Attempt))
}
