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

// How often the clocks are compared, and how long that may take.
const (
	clockInterval = 10 * time.Second
	clockTimeout  = 2 * time.Second
)

// A Clock compares this process's clock with the database's, which all replicas share. A process
// whose clock is wrong refuses good tokens and signs bad ones. It is safe for concurrent use.
type Clock struct {
	pool   *pgxpool.Pool
	most   time.Duration
	now    func() time.Time
	offset atomic.Int64 // the last one measured, as a time.Duration
}

// NewClock returns a clock that is right when it differs from the database's by at most that much.
func NewClock(pool *pgxpool.Pool, most time.Duration) *Clock {
	return &Clock{pool: pool, most: most, now: time.Now}
}

// Run compares the clocks every ten seconds until ctx ends, and logs at ERROR when this one is wrong.
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

// measure asks for the database's time. Half of the time that the answer takes is the error.
func (c *Clock) measure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	before := c.now()
	var there time.Time
	if err := c.pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&there); err != nil {
		return fmt.Errorf("asking for the database's time: %w", err)
	}
	after := c.now()
	c.offset.Store(int64(before.Add(after.Sub(before) / 2).Sub(there)))
	return nil
}

// Offset returns how far this clock was ahead of the database's when they were last compared.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// Metric returns the offset as a gauge.
func (c *Clock) Metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "database_clock_offset_seconds",
		Help: "How far this process's clock is ahead of the database's.",
	}, func() float64 { return c.Offset().Seconds() })
}

// Check returns an error when this clock was wrong when it was last compared. It is a check of readiness.
func (c *Clock) Check(context.Context) error {
	offset := c.Offset()
	switch {
	case offset > c.most:
		return fmt.Errorf("this machine's clock is %v ahead of the database's: at most %v is allowed", offset.Round(time.Second), c.most)
	case offset < -c.most:
		return fmt.Errorf("this machine's clock is %v behind the database's: at most %v is allowed", -offset.Round(time.Second), c.most)
	}
	return nil
}
