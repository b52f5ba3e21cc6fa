package database

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"example.com/micromachine/pkg/outage"
)

// The interval between two comparisons of the clocks, and the time limit of one.
const (
	clockInterval = 10 * time.Second
	clockTimeout  = 2 * time.Second
)

// A Clock compares the clock of this process with the clock of the database, which all replicas
// share. A process with a wrong clock rejects valid tokens and signs tokens that others reject. It
// is safe for concurrent use.
type Clock struct {
	pool      *pgxpool.Pool
	maxOffset time.Duration
	now       func() time.Time
	offset    atomic.Int64 // the last measured offset, as a time.Duration
}

// NewClock returns a Clock that counts as wrong when it differs from the database's by more than
// maxOffset.
func NewClock(pool *pgxpool.Pool, maxOffset time.Duration) *Clock {
	return &Clock{pool: pool, maxOffset: maxOffset, now: time.Now}
}

// Run compares the clocks every ten seconds until ctx ends. It logs an error when the clock of this
// process is wrong.
func (c *Clock) Run(ctx context.Context, log *slog.Logger) {
	wrong := outage.NewLog(log, "clock")
	ticker := time.NewTicker(clockInterval)
	defer ticker.Stop()
	for {
		if err := c.measure(ctx); err == nil {
			wrong.Observe(ctx, c.Check(ctx))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// measure stores the difference to the database's time. The measurement error is at most half of
// the statement's round-trip time.
func (c *Clock) measure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	before := c.now()
	var databaseTime time.Time
	if err := c.pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&databaseTime); err != nil {
		return fmt.Errorf("asking for the database's time: %w", err)
	}
	after := c.now()
	c.offset.Store(int64(before.Add(after.Sub(before) / 2).Sub(databaseTime)))
	return nil
}

// Offset returns how far the clock of this process was ahead of the database's at the last
// comparison. It is negative when the clock was behind.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// Metric returns the offset as a gauge.
func (c *Clock) Metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "database_clock_offset_seconds",
		Help: "How far this process's clock is ahead of the database's.",
	}, func() float64 { return c.Offset().Seconds() })
}

// Check is a readiness check. It returns an error when the clock was wrong at the last comparison.
func (c *Clock) Check(context.Context) error {
	offset := c.Offset()
	switch {
	case offset > c.maxOffset:
		return fmt.Errorf("this machine's clock is %v ahead of the database's: at most %v is allowed",
			offset.Round(time.Second), c.maxOffset)
	case offset < -c.maxOffset:
		return fmt.Errorf("this machine's clock is %v behind the database's: at most %v is allowed",
			-offset.Round(time.Second), c.maxOffset)
	}
	return nil
}
