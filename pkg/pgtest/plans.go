package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// WantPlansKept fails the test when PostgreSQL has planned a prepared statement at each of 10 or
// more executions, and when no statement was executed as often. It checks the idle connections of
// the pool. PostgreSQL plans the first five executions of a statement on a connection for their
// parameters. It then keeps a plan for all parameters, if that looks no more expensive.
func WantPlansKept(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	often := 0
	for _, conn := range pool.AcquireAllIdle(tb.Context()) {
		often += checkPlans(tb, conn)
		conn.Release()
	}
	if often == 0 {
		tb.Error("no statement was executed 10 times")
	}
}

// checkPlans checks one connection, and returns the number of its statements that were executed
// often.
func checkPlans(tb testing.TB, conn *pgxpool.Conn) (often int) {
	tb.Helper()
	rows, err := conn.Query(tb.Context(), `
		select statement, generic_plans from pg_prepared_statements where generic_plans + custom_plans >= 10`)
	if err != nil {
		tb.Error(err)
		return 0
	}
	var statement string
	var kept int
	_, err = pgx.ForEachRow(rows, []any{&statement, &kept}, func() error {
		often++
		if kept == 0 {
			tb.Errorf("planned at each execution: %s", statement)
		}
		return nil
	})
	if err != nil {
		tb.Error(err)
	}
	return often
}
