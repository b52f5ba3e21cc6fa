// Package migrations runs the migrations of a service's PostgreSQL database with goose. The SQL
// files of a service are embedded in a package of its own, such as migrations/census:
//
//	//go:embed *.sql
//	var files embed.FS
//
//	// Up migrates the database to the newest version.
//	func Up(ctx context.Context, databaseURL string) error {
//		return migrations.Up(ctx, databaseURL, migrations.Set{Files: files, Table: "census_migrations"})
//	}
//
// Several services can share one database: each records its migrations in its own version table.
// The table of used tokens, svcauth_replay, is created by the first of them and then used by all.
//
// Several processes can migrate a database at the same time: one works, the others wait for it. The
// code of the previous release must work on the migrated database, because replicas are replaced
// one by one.
package migrations

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"example.com/micromachine/pkg/database"
)

// Set describes the migrations of one service.
type Set struct {
	// Files holds the SQL files, named as goose requires: 00001_users.sql. Required.
	Files fs.FS
	// Table is the version table, which records the migrations that have run. Required.
	Table string
	// Go returns the migrations that are written in Go. Nil: none.
	Go func(*database.Config) []*goose.Migration
	// SharedVersions names, by version, a table that the migration creates. It is for the versions
	// that releases before the version tables recorded in goose_db_version. Nil: none.
	SharedVersions map[int64]string
}

// Up runs those migrations of a set that have not run yet. It returns
// [database.ErrTransactionPooling] when the connection does not keep its session. When another
// process migrates the database, Up waits for it, for at most five minutes.
func Up(ctx context.Context, databaseURL string, set Set) error {
	config, err := database.Parse(databaseURL)
	if err != nil {
		return fmt.Errorf("parsing database URL: %w", err)
	}
	if err := config.CheckSessions(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	db := stdlib.OpenDB(*config.Conn())
	defer func() { _ = db.Close() }()
	locker, err := newVersionLock(set.Table, set.SharedVersions)
	if err != nil {
		return err
	}
	var inGo []*goose.Migration
	if set.Go != nil {
		inGo = set.Go(config)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, set.Files,
		goose.WithTableName(set.Table), goose.WithSessionLocker(locker), goose.WithAllowOutofOrder(true),
		goose.WithGoMigrations(inGo...), goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}
