package pgtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/pgtest"
)

// The installed programs run with any TMPDIR, also as a user other than root.
func TestFindWithAnyTempDir(t *testing.T) {
	needsPrograms(t)
	open := sharedTempDir(t)
	closed := filepath.Join(open, "closed")
	long := filepath.Join(open, strings.Repeat("long", 60))
	for name, mode := range map[string]os.FileMode{
		closed: 0o700, filepath.Join(closed, "open"): 0o755, long: 0o755, filepath.Join(open, "a b'c"): 0o755,
	} {
		if err := os.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(open)
	for _, dir := range []string{closed, filepath.Join(closed, "open"), long, filepath.Join(open, "a b'c"), ".", "a b'c"} {
		t.Setenv("TMPDIR", dir)
		var log messages
		server, err := pgtest.Find(t.Context(), log.logf)
		if err != nil {
			t.Errorf("TMPDIR=%s: %v\n%s", dir, err, &log)
			continue
		}
		connect(t, server.URL)
		server.Stop()
		if left, err := filepath.Glob(filepath.Join(dir, "mm_postgres_*")); err != nil || len(left) > 0 {
			t.Errorf("TMPDIR=%s: left behind %v, %v", dir, left, err)
		}
	}
}

// The error for a TMPDIR that does not exist names it, and no other directory is used.
func TestFindWithoutTempDir(t *testing.T) {
	needsPrograms(t)
	t.Setenv("PGTEST_REQUIRE", "installed programs")
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "gone"))
	var log messages
	server, err := pgtest.Find(t.Context(), log.logf)
	if err == nil {
		server.Stop()
		t.Fatal("found")
	}
	if !strings.Contains(log.String(), os.Getenv("TMPDIR")) {
		t.Errorf("%v\n%s", err, &log)
	}
}
