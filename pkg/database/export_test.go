package database

import (
	"context"
	"time"
)

// Shift moves the clock of the process forward by d.
func (c *Clock) Shift(d time.Duration) { c.now = func() time.Time { return time.Now().Add(d) } }

// Measure compares the clocks once.
func (c *Clock) Measure(ctx context.Context) error { return c.measure(ctx) }
