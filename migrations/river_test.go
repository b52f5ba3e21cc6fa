package migrations_test

import (
	"log/slog"
	"testing"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"example.com/micromachine/migrations"
)

// TestRiverVersion fails after an update of River that needs a migration of ours.
func TestRiverVersion(t *testing.T) {
	t.Parallel()
	migrator, err := rivermigrate.New(riverpgxv5.New(nil), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	versions := migrator.AllVersions()
	if latest := versions[len(versions)-1].Version; latest != migrations.RiverVersion {
		t.Errorf("River's schema is at version %d, ours at %d", latest, migrations.RiverVersion)
	}
}
