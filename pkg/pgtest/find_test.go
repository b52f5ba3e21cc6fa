package pgtest_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/pgtest"
)

// messages records the log of a search.
type messages struct {
	mu    sync.Mutex
	lines []string
}

func (m *messages) logf(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
}

func (m *messages) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.lines, "\n")
}

// withoutDocker makes the search skip DATABASE_URL and Docker.
func withoutDocker(t *testing.T) {
	t.Helper()
	t.Setenv("DATABASE_URL", "")
	t.Setenv("PGTEST_REQUIRE", "")
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "no-docker.sock"))
}

// needsPrograms skips a test when PostgreSQL programs are not installed. In CI it fails the test.
func needsPrograms(t *testing.T) {
	t.Helper()
	withoutDocker(t)
	if _, err := pgtest.InstalledPrograms(t.Context()); err != nil {
		unavailable(t, err.Error())
	}
}

// unavailable skips a test that needs a program missing on this machine. In CI it fails the test.
func unavailable(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("not on this machine: " + what)
	}
	t.Skip("not on this machine: " + what)
}

func TestFindUsesDatabaseURL(t *testing.T) {
	databaseURL := pgtest.New(t, nil)
	t.Setenv("DATABASE_URL", databaseURL)
	var log messages
	server, err := pgtest.Find(t.Context(), log.logf)
	if err != nil {
		t.Fatalf("Find: %v", err)
	}
	if server.URL != databaseURL {
		t.Error("Find used another server")
	}
	if got := log.String(); got != "PostgreSQL: the server of DATABASE_URL" {
		t.Errorf("logged %q", got)
	}
	server.Stop()
	connect(t, databaseURL)
}

func TestFindRefusesDatabaseURL(t *testing.T) {
	admin := pgtest.New(t, nil)
	execute(t, connect(t, admin), `create role mm_powerless login password 'secret'`)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), admin)
		if err == nil {
			_, err = conn.Exec(context.Background(), `drop role mm_powerless`)
			conn.Close(context.Background())
		}
		if err != nil {
			t.Errorf("dropping role: %v", err)
		}
	})
	powerless := parse(t, admin)
	powerless.User = url.UserPassword("mm_powerless", "secret")
	for _, test := range []struct{ name, databaseURL, want string }{
		{"may not create databases", powerless.String(), "may not create databases"},
		{"no such server", "postgres://someone:secret@127.0.0.1:1/postgres", "127.0.0.1:1"},
		{"not a URL", "host=127.0.0.1 password=secret", "not a postgres:// URL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("DATABASE_URL", test.databaseURL)
			server, err := pgtest.Find(t.Context(), t.Logf)
			if err == nil {
				server.Stop()
				t.Fatal("Find used it or another server")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not contain %q", err, test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q contains the password", err)
			}
		})
	}
}

func TestFindRunsInstalledPrograms(t *testing.T) {
	needsPrograms(t)
	var log messages
	started := time.Now()
	server, err := pgtest.Find(t.Context(), log.logf)
	if err != nil {
		t.Fatalf("Find: %v\n%s", err, &log)
	}
	stop := sync.OnceFunc(server.Stop)
	t.Cleanup(stop)
	t.Logf("found after %v:\n%s", time.Since(started), &log)
	if !strings.Contains(log.String(), "\nDocker: not reachable\nPostgreSQL: version ") {
		t.Errorf("logged:\n%s", &log)
	}
	conn := connect(t, server.URL)
	if got := query[string](t, conn, `show listen_addresses`); got != "127.0.0.1" {
		t.Errorf("listens on %q", got)
	}
	if got := query[string](t, conn, `show unix_socket_directories`); got != "" {
		t.Errorf("has sockets in %q", got)
	}
	if port := query[int](t, conn, `select current_setting('port')::int`); port < 20000 || port > 29999 {
		t.Errorf("port %d is outside of 20000 to 29999", port)
	}
	dir := query[string](t, conn, `show data_directory`)

	stop()
	if conn, err := pgx.Connect(t.Context(), server.URL); err == nil {
		conn.Close(t.Context())
		t.Error("the server outlives Stop")
	}
	if _, err := os.Stat(filepath.Dir(dir)); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", filepath.Dir(dir), err)
	}
}

func TestFindRunsADurableServer(t *testing.T) {
	needsPrograms(t)
	t.Setenv("PGTEST_DURABLE", "1")
	var log messages
	server, err := pgtest.Find(t.Context(), log.logf)
	if err != nil {
		t.Fatalf("Find: %v\n%s", err, &log)
	}
	t.Cleanup(server.Stop)
	conn := connect(t, server.URL)
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if got := query[string](t, conn, "show "+setting); got != "on" {
			t.Errorf("%s is %s", setting, got)
		}
	}
}

func TestFindRunsAContainer(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	t.Setenv("PGTEST_REQUIRE", "docker")
	var log messages
	server, err := pgtest.Find(t.Context(), log.logf)
	if err != nil {
		unavailable(t, "a container:\n"+log.String())
	}
	stop := sync.OnceFunc(server.Stop)
	t.Cleanup(stop)
	conn := connect(t, server.URL)
	if version := query[int](t, conn, `select current_setting('server_version_num')::int / 10000`); version != 17 {
		t.Errorf("version %d, want 17", version)
	}
	if got := query[string](t, conn, `show fsync`); got != "off" {
		t.Errorf("fsync is %s", got)
	}
	stop()
	if conn, err := pgx.Connect(t.Context(), server.URL); err == nil {
		conn.Close(t.Context())
		t.Error("the server outlives Stop")
	}
}

func TestFindAsksForThePassword(t *testing.T) {
	needsPrograms(t)
	server, err := pgtest.Find(t.Context(), t.Logf)
	if err != nil {
		t.Fatalf("Find: %v", err)
	}
	t.Cleanup(server.Stop)
	guess := parse(t, server.URL)
	guess.User = url.UserPassword("postgres", "postgres")
	conn, err := pgx.Connect(t.Context(), guess.String())
	if err == nil {
		conn.Close(t.Context())
		t.Error("the server accepts any password")
	}
}

func TestFindSaysWhichProgramsAreTooOld(t *testing.T) {
	withoutDocker(t)
	t.Setenv("PGTEST_REQUIRE", "installed programs")
	dir := t.TempDir()
	for _, program := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho '" + program + " (PostgreSQL) 14.20'\n"
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	var log messages
	server, err := pgtest.Find(t.Context(), log.logf)
	if err == nil {
		server.Stop()
	}
	if want := dir + ": PostgreSQL 14, needed is 15 or later"; !strings.Contains(log.String(), want) {
		t.Errorf("did not log %q but:\n%s", want, &log)
	}
}

func TestFindCancelledLeavesNothing(t *testing.T) {
	needsPrograms(t)
	dir := sharedTempDir(t)
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ctx.Err() == nil && len(entries(t, dir)) == 0 {
			<-time.After(time.Millisecond)
		}
	}()
	server, err := pgtest.Find(ctx, t.Logf)
	if err == nil {
		server.Stop()
		t.Fatal("Find finished before it was cancelled")
	}
	if !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("error %q does not say that it was cancelled", err)
	}
	if left := entries(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// sharedTempDir returns a temporary directory that other users can read.
func sharedTempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Errorf("reading %s: %v", dir, err)
	}
	return found
}

func TestServerDatabases(t *testing.T) {
	t.Setenv("DATABASE_URL", pgtest.New(t, nil))
	server, err := pgtest.Find(t.Context(), t.Logf)
	if err != nil {
		t.Fatalf("Find: %v", err)
	}
	name := pgtest.TempName("census")
	if !strings.HasPrefix(name, "mm_census_") || name == pgtest.TempName("census") {
		t.Errorf("name %q is not mm_census_<random>", name)
	}
	databaseURL, err := server.CreateDatabase(t.Context(), name)
	if err != nil {
		t.Fatalf("CreateDatabase: %v", err)
	}
	conn := connect(t, databaseURL)
	if got := query[string](t, conn, `select current_database()`); got != name {
		t.Errorf("the URL leads to database %q, want %q", got, name)
	}
	if _, err := server.CreateDatabase(t.Context(), name); err == nil {
		t.Error("a database was created twice")
	}
	// The connection is still open, and the second DropDatabase finds no database.
	for range 2 {
		if err := server.DropDatabase(t.Context(), name); err != nil {
			t.Errorf("DropDatabase: %v", err)
		}
	}
	if _, err := pgx.Connect(t.Context(), databaseURL); err == nil {
		t.Error("the database is still there")
	}
}

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
