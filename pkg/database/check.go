package database

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// checkedFor is the time for which the result of a passed check is reused.
const checkedFor = time.Second

// A Check runs a costly check for any number of pollers. It runs one check at a time. It reuses the
// result of a passed check for a second. Pollers that wait for a running check get its result. It
// is safe for concurrent use.
type Check struct {
	check    func(context.Context) error
	idle     chan struct{} // holds a value while no check runs
	finished time.Time     // when check last returned
	err      error         // the last result of check
}

// NewCheck returns a Check that runs check. The function must return soon after its context ends.
func NewCheck(check func(context.Context) error) *Check {
	c := &Check{check: check, idle: make(chan struct{}, 1)}
	c.idle <- struct{}{}
	return c
}

// Run returns the result of a check that passed less than a second ago or that ended after Run was
// called.
func (c *Check) Run(ctx context.Context) error {
	arrived := time.Now()
	select {
	case <-c.idle:
	case <-ctx.Done():
		return fmt.Errorf("waiting for a running check: %w", ctx.Err())
	}
	defer func() { c.idle <- struct{}{} }()
	passed := c.err == nil && !c.finished.IsZero() && time.Since(c.finished) < checkedFor
	if passed || c.finished.After(arrived) {
		return c.err
	}
	err := c.check(ctx)
	if ctx.Err() == nil { // otherwise the error may come from this poller's context alone
		c.err, c.finished = err, time.Now()
	}
	return err
}

// TryWrite returns nil if the database accepts writes now. In one transaction, which it commits, it
// runs the statements and makes the server write 200 KB to a temporary file in the database's
// tablespace. The temporary file detects a full disk, on which a single row may still fit into an
// allocated page. The statements should leave no data behind.
func TryWrite(ctx context.Context, pool *pgxpool.Pool, statements *pgx.Batch) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := tx.SendBatch(ctx, statements).Close(); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `select set_config('work_mem', '64kB', true), set_config('temp_tablespaces', '', true)`)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `select count(*) from generate_series(1, 10000)`)
		return err
	})
	if err != nil {
		return fmt.Errorf("trying to write: %w", err)
	}
	return nil
}
