package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/database"
)

// poolConns is the number of connections of a pool. It is the services' default.
const poolConns = 16

// NewPool returns a pool of connections to a database, which is closed when the test ends.
func NewPool(tb testing.TB, databaseURL string) *pgxpool.Pool {
	tb.Helper()
	config, err := database.Parse(databaseURL)
	if err != nil {
		tb.Fatalf("pgtest.NewPool: %v", err)
	}
	pool, err := config.Open(tb.Context(), poolConns)
	if err != nil {
		tb.Fatalf("pgtest.NewPool: %v", err)
	}
	tb.Cleanup(pool.Close)
	return pool
}
