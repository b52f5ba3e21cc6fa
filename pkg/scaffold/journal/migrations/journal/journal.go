// Package journal migrates the database of Journal.
package journal

import (
	"context"
	"embed"

	"example.com/micromachine/migrations"
)

//go:embed *.sql
var files embed.FS

// Up migrates the database to the newest version. See [migrations.Up].
func Up(ctx context.Context, databaseURL string) error {
	return migrations.Up(ctx, databaseURL, migrations.Set{Files: files, Table: "journal_migrations"})
}
