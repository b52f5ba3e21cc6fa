package plain

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"golang.org/x/sync/errgroup"
)

// InsertOneByOne returns the number of jobs per second that concurrent clients insert, each job in
// a transaction of its own. The database must have River's tables.
func InsertOneByOne(
	ctx context.Context, databaseURL string, clients int32, warm, window time.Duration,
) (float64, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return 0, fmt.Errorf("parsing database URL: %w", err)
	}
	config.MaxConns = clients
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return 0, fmt.Errorf("connecting: %w", err)
	}
	defer pool.Close()
	jobs, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return 0, fmt.Errorf("preparing job queue: %w", err)
	}
	h := &herald{pool: pool, jobs: jobs}
	var inserted atomic.Int64
	begin := time.Now().Add(warm)
	group, ctx := errgroup.WithContext(ctx)
	for range clients {
		group.Go(func() error { return h.insertUntil(ctx, begin, begin.Add(window), &inserted) })
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("inserting jobs: %w", err)
	}
	return float64(inserted.Load()) / window.Seconds(), nil
}

// insertUntil inserts jobs until end and counts those inserted after begin.
func (h *herald) insertUntil(ctx context.Context, begin, end time.Time, inserted *atomic.Int64) error {
	for {
		if err := h.insert(ctx, Welcome{User: "/user/42/", Subject: "https://census.service/user/42/"}); err != nil {
			return err
		}
		now := time.Now()
		if now.After(end) {
			return nil
		}
		if now.After(begin) {
			inserted.Add(1)
		}
	}
}
