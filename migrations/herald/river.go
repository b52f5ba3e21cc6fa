package herald

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"example.com/micromachine/pkg/database"
)

// RiverVersion is the version of River's schema that the migrations install. When a new release of
// River has a higher one, add a migration that installs it.
const RiverVersion = 8

// riverConns is the number of connections that River's migrations use at most.
const riverConns = 2

// river returns the migrations of River's tables. They are goose migrations, so that the version
// table records them and the lock covers them.
func river(config *database.Config) []*goose.Migration {
	return []*goose.Migration{
		goose.NewGoMigration(2, &goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
			return riverTo(ctx, config, RiverVersion)
		}}, nil),
	}
}

// riverTo runs River's migrations up to a version. They cannot share one transaction: some use
// values of an enum that earlier ones have added. River records each migration that it has finished
// in its own table, and continues after the last one.
func riverTo(ctx context.Context, config *database.Config, version int) error {
	pool, err := config.Open(ctx, riverConns)
	if err != nil {
		return fmt.Errorf("connecting for River's migrations: %w", err)
	}
	defer pool.Close()
	logger := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: logger})
	if err != nil {
		return fmt.Errorf("reading River's migrations: %w", err)
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: version})
	if err != nil {
		return fmt.Errorf("migrating River's tables to version %d: %w", version, err)
	}
	return nil
}
