package herald_test

import (
	"log/slog"
	"testing"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"example.com/micromachine/migrations/herald"
)

// River's newest schema is the one that the migrations install.
func TestRiverVersion(t *testing.T) {
	t.Parallel()
	migrator, err := rivermigrate.New(riverpgxv5.New(nil), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	versions := migrator.AllVersions()
	if latest := versions[len(versions)-1].Version; latest != herald.RiverVersion {
		t.Errorf("River's schema is at version %d, ours at %d", latest, herald.RiverVersion)
	}
}
