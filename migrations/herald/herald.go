// Package herald migrates the database of Herald: Herald's own tables and those of its job queue,
// River.
package herald

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
		Files: files, Table: "herald_migrations", Go: river,
		SharedVersions: map[int64]string{1: "svcauth_replay", 2: "river_job", 3: "notifications"},
	})
}
