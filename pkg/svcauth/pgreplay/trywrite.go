package pgreplay

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/database"
)

// TryWrite returns nil when the database has the tables and accepts writes now. It reads from the
// tables, and writes to the table of used tokens, as every call that changes something does. It is
// the check of a service's readiness. See [database.TryWrite].
func TryWrite(ctx context.Context, pool *pgxpool.Pool, tables ...string) error {
	id := []byte(rand.Text())
	var batch pgx.Batch
	batch.Queue(`select from ` + strings.Join(tables, ", ") + ` limit 0`)
	batch.Queue(`insert into svcauth_replay (id, expires_at) values ($1, now())`, id)
	batch.Queue(`delete from svcauth_replay where id = $1`, id)
	return database.TryWrite(ctx, pool, &batch)
}
