// Package migrations brings the services' databases up to the schema that their
// code expects. Each service has a folder of SQL files, embedded here and run by
// goose; what has been run is noted in the database itself.
//
//	err := migrations.Census(ctx, databaseURL)
//
// Both services may have one database: each records its migrations in a table of its
// own, and the one table that both make, that of used tokens, they then share.
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
	"log/slog"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"example.com/micromachine/pkg/database"
)

//go:embed census/*.sql herald/*.sql
var files embed.FS

// Census brings up the database of Census.
func Census(ctx context.Context, databaseURL string) error {
	return up(ctx, databaseURL, service{
		folder: "census", versions: "census_migrations",
		made: map[int64]string{1: "users", 2: "svcauth_replay"},
	})
}

// Herald brings up the database of Herald.
func Herald(ctx context.Context, databaseURL string) error {
	return up(ctx, databaseURL, service{
		folder: "herald", versions: "herald_migrations", more: river,
		made: map[int64]string{1: "svcauth_replay", 2: "river_job", 3: "notifications"},
	})
}

// A service is whose migrations to run.
type service struct {
	folder   string                                    // of the SQL files
	versions string                                    // the table that says which were run
	made     map[int64]string                          // see versionLock
	more     func(*database.Config) []*goose.Migration // those written in Go; nil for none
}

// up runs what has not been run yet of a service's migrations.
func up(ctx context.Context, databaseURL string, s service) error {
	config, err := database.Parse(databaseURL)
	if err != nil {
		return fmt.Errorf("parsing database URL: %w", err)
	}
	if err := config.CheckSessions(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	db := stdlib.OpenDB(*config.Conn())
	defer func() { _ = db.Close() }()
	sql, err := fs.Sub(files, s.folder)
	if err != nil {
		return fmt.Errorf("opening migrations: %w", err)
	}
	locker, err := newVersionLock(s.versions, s.made)
	if err != nil {
		return err
	}
	var more []*goose.Migration
	if s.more != nil {
		more = s.more(config)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, sql,
		goose.WithTableName(s.versions), goose.WithSessionLocker(locker), goose.WithAllowOutofOrder(true),
		goose.WithGoMigrations(more...), goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}
