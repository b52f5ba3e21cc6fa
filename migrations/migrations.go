// Package migrations brings the services' databases up to the schema that their
// code expects. Each service has a folder of SQL files, embedded here and run by
// goose; what has been run is noted in the database itself.
//
//	err := migrations.Census(ctx, databaseURL)
//
// Any number of processes may do so at once: one works, the others wait for it.
// A migration must leave a database that the code before it can still use, since
// replicas are replaced one by one.
package migrations

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed census/*.sql herald/*.sql
var files embed.FS

// Census brings up the database of Census.
func Census(ctx context.Context, databaseURL string) error {
	return up(ctx, databaseURL, "census")
}

// Herald brings up the database of Herald.
func Herald(ctx context.Context, databaseURL string) error {
	return up(ctx, databaseURL, "herald", river(databaseURL)...)
}

// up runs what has not been run yet of a folder's files and of more, which are
// migrations written in Go.
func up(ctx context.Context, databaseURL, folder string, more ...*goose.Migration) error {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return fmt.Errorf("parsing database URL: %w", err)
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	sql, err := fs.Sub(files, folder)
	if err != nil {
		return fmt.Errorf("opening migrations: %w", err)
	}
	// Whoever waits looks again each second, for five minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return fmt.Errorf("preparing migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, sql,
		goose.WithSessionLocker(locker), goose.WithGoMigrations(more...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}
