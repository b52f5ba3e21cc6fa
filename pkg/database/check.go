package database

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// checkedFor is how long a check that passed is not repeated.
const checkedFor = time.Second

// A Check asks for something costly on behalf of any number of pollers: one at a time, and not again for a second after
// it passed. Pollers who wait for a check under way get its result. It is safe for concurrent use.
type Check struct {
	ask      func(context.Context) error
	turn     chan struct{} // holds a value while nobody asks
	finished time.Time     // when ask returned last; err is what it returned
	err      error
}

// NewCheck returns a check by ask, which should heed its context.
func NewCheck(ask func(context.Context) error) *Check {
	c := &Check{ask: ask, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// Run returns the result of a check that is at most a second old.
func (c *Check) Run(ctx context.Context) error {
	arrived := time.Now()
	select {
	case <-c.turn:
	case <-ctx.Done():
		return fmt.Errorf("waiting for a check under way: %w", ctx.Err())
	}
	defer func() { c.turn <- struct{}{} }()
	passed := c.err == nil && !c.finished.IsZero() && time.Since(c.finished) < checkedFor
	if passed || c.finished.After(arrived) {
		return c.err
	}
	err := c.ask(ctx)
	if ctx.Err() == nil { // otherwise it says nothing to those whose time is not over
		c.err, c.finished = err, time.Now()
	}
	return err
}

// TryWrite finds out whether the database can be written now. In one transaction, which it commits, it runs the
// statements, which should leave nothing behind, and has the server write 200 KB to a temporary file in the database's
// own tablespace: on a full disk, a row may still fit into what its table has.
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
