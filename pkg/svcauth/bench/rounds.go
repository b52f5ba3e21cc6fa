package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// roundTime is the minimum time of a round for a side that can repeat its operations.
const roundTime = 50 * time.Millisecond

// A comparison runs its sides in alternation, so that changes in the speed of the machine affect
// all of them.
type comparison struct {
	rounds int
	ops    int          // operations of each side in a round
	fresh  func() error // prepares a round; it is not timed
	sides  []side
}

// A side is one of the compared functions.
type side struct {
	name    string
	run     func(ops int) error
	repeats bool // the operations may be repeated until roundTime is over
}

// each returns a run function that calls op for one operation after the other.
func each(op func(i int) error) func(int) error {
	return func(ops int) error {
		for i := range ops {
			if err := op(i); err != nil {
				return err
			}
		}
		return nil
	}
}

// A sample is the cost of an operation of one side in one round.
type sample struct{ ns, allocs float64 }

// results has the samples of each side, by its name, in the order of the rounds.
type results map[string][]sample

// run runs all rounds. A first round warms up and is not counted.
func (c *comparison) run(ctx context.Context) (results, error) {
	all := results{}
	for round := range c.rounds + 1 {
		if err := c.fresh(); err != nil {
			return nil, err
		}
		for _, s := range c.sides {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			sample, err := s.measure(c.ops)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 {
				all[s.name] = append(all[s.name], sample)
			}
		}
	}
	return all, nil
}

func (s side) measure(ops int) (sample, error) {
	runtime.GC() // collects the garbage of the previous side
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, done := time.Now(), 0
	for done == 0 || s.repeats && time.Since(start) < roundTime {
		if err := s.run(ops); err != nil {
			return sample{}, err
		}
		done += ops
	}
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	return sample{
		ns:     float64(elapsed.Nanoseconds()) / float64(done),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(done),
	}, nil
}

// time returns the median time of an operation in nanoseconds.
func (r results) time(name string) float64 {
	return median(r[name], func(s sample) float64 { return s.ns })
}

// allocs returns the median number of allocations of an operation.
func (r results) allocs(name string) float64 {
	return median(r[name], func(s sample) float64 { return s.allocs })
}

// A ratio is the median, the minimum and the maximum of the ratios of all rounds.
type ratio struct{ median, low, high float64 }

// ratio returns the ratio of the times of two sides over all rounds.
func (r results) ratio(name, base string) ratio {
	ratios := make([]float64, len(r[name]))
	for i := range ratios {
		ratios[i] = r[name][i].ns / r[base][i].ns
	}
	return ratioOf(ratios)
}

func identity(f float64) float64 { return f }

func ratioOf(ratios []float64) ratio {
	return ratio{median: median(ratios, identity), low: slices.Min(ratios), high: slices.Max(ratios)}
}

func median[T any](items []T, value func(T) float64) float64 {
	values := make([]float64, len(items))
	for i, item := range items {
		values[i] = value(item)
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}
