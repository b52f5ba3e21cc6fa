// Package census migrates the database of Census.
package census

import (
	"context"
	"embed"

	"example.com/micromachine/migrations"
)

//go:embed *.sql
var files embed.FS

// Up migrates the database to the newest version. See [migrations.Up].
func Up(ctx context.Context, databaseURL string) error {
	return migrations.Up(ctx, databaseURL, migrations.Set{
		Files: files, Table: "census_migrations",
		SharedVersions: map[int64]string{1: "users", 2: "svcauth_replay"},
	})
}
