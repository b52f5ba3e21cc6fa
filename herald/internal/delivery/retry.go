package delivery

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// A Schedule determines the times of retries. The pause doubles after each failure, and random
// jitter is added to it.
type Schedule struct {
	First  time.Duration // the pause after the first failure; the default is 10 s
	Max    time.Duration // the longest pause; the default is 1 h
	GiveUp time.Duration // the latest start of an attempt after the creation; the default is 24 h
}

// jitter is the largest part of a pause that is added at random, so that notifications that failed
// together are not retried together.
const jitter = 0.3

func (s Schedule) withDefaults() Schedule {
	return Schedule{
		First:  cmp.Or(s.First, 10*time.Second),
		Max:    cmp.Or(s.Max, time.Hour),
		GiveUp: cmp.Or(s.GiveUp, 24*time.Hour),
	}
}

// Pause returns the pause after the given number of failures, which is at least 1.
func (s Schedule) Pause(failures int) time.Duration {
	longest := time.Duration(float64(s.Max) / (1 + jitter))
	pause := min(s.First, longest)
	for i := 1; i < failures && pause < longest; i++ {
		pause = min(2*pause, longest)
	}
	return pause + time.Duration(rand.Float64()*jitter*float64(pause)) //nolint:gosec // jitter is not secret
}

// NextRetry implements [river.ClientRetryPolicy]. It applies to failures that could not be recorded
// with the notification.
func (s Schedule) NextRetry(job *rivertype.JobRow) time.Time {
	return time.Now().Add(s.Pause(job.Attempt))
}
