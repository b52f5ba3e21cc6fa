// Package pgtest gives each test a PostgreSQL database of its own, in about 30 ms. The first test
// of a process that needs a schema migrates a template database, and each test gets a copy of it.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestStore(t *testing.T) {
//		databaseURL := pgtest.New(t, migrations.Up)
//		...
//	}
//
// # The server
//
// [Find] uses the first available PostgreSQL server, version 15 or later, of:
//
//  1. the one that the environment variable DATABASE_URL names, by a user who may create databases;
//     when the variable is set, nothing else is tried;
//  2. a Docker container of postgres:17-trixie, when the image is present or can be pulled within
//     20 s;
//  3. the PostgreSQL programs that are installed on this machine;
//  4. PostgreSQL programs that it downloads once.
//
// It logs which one it uses, and why it passed over the others. Programs run in a temporary
// directory and listen on 127.0.0.1 alone. If this process runs as root, they run as the user
// postgres or nobody.
//
// The command withpostgres searches once for a run over many packages, and sets DATABASE_URL.
//
// # The download
//
// The programs are those of PostgreSQL 17.11 that the project zonkyio/embedded-postgres-binaries
// publishes on Maven Central for tests, for Linux (glibc and Alpine) and macOS on amd64 and arm64.
// The archive has 15 MB for Linux and 62 MB for macOS. It is unpacked to micromachine/postgres in
// the user's cache directory (XDG_CACHE_HOME, ~/.cache, on macOS ~/Library/Caches), where later
// runs find it. Root uses /var/cache unless XDG_CACHE_HOME is set, because other users cannot enter
// its home. If several processes start at once, one downloads and the others wait. A download that
// fails or is interrupted leaves no programs, and the next run repeats it.
//
// This package has the SHA-256 of each archive and refuses any other content, whoever changed it:
// the network, the repository or its publisher. It trusts that the publisher's build was good. With
// PGTEST_REPOSITORY, the .sha256 file of that repository counts, if there is one. It detects damage
// on the way, but not a change by someone who controls the repository.
//
// # Settings
//
// The environment variables, all optional:
//
//   - DATABASE_URL: the server to use;
//   - PGTEST_REQUIRE: the only method to try, one of "docker", "installed programs" and "download";
//   - PGTEST_REPOSITORY: the base URL of a mirror of Maven Central, by https, or by http on this
//     machine; default https://repo1.maven.org/maven2. HTTPS_PROXY and NO_PROXY are obeyed;
//   - PGTEST_DURABLE=1: a started server syncs commits to disk, which is slow and for measurements
//     only.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cleanupTimeout bounds the work on databases before and after a test. It is long because the
// machine may be busy.
const cleanupTimeout = 2 * time.Minute

// process is what the tests of one process share; Main makes it.
var process *session

// Main runs the tests for a TestMain, and then drops the template databases and
// stops the server if one was started. An interrupt or SIGTERM is followed by
// the same cleaning up. The server is only searched for by the first New.
func Main(m *testing.M) {
	process = newSession()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if sig, ok := (<-signals).(syscall.Signal); ok {
			process.close()
			os.Exit(128 + int(sig))
		}
	}()
	m.Run()
	signal.Stop(signals)
	close(signals)
	process.close()
}

// New returns the URL of a fresh database, which is dropped when the test ends.
// It is a copy of a template that migrate brought up once: migrate is a plain
// function, by which templates are told apart. A nil migrate gives an empty
// database.
func New(tb testing.TB, migrate func(ctx context.Context, databaseURL string) error) string {
	tb.Helper()
	if process == nil {
		tb.Fatal("pgtest.New: TestMain must call pgtest.Main")
	}
	ctx, cancel := context.WithTimeout(tb.Context(), cleanupTimeout)
	defer cancel()
	name, databaseURL, err := process.database(ctx, migrate)
	if err != nil {
		tb.Fatalf("pgtest.New: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := process.drop(ctx, name); err != nil {
			tb.Errorf("pgtest.New: %v", err)
		}
	})
	return databaseURL
}

type migration = func(ctx context.Context, databaseURL string) error

// session is a server and the databases made on it.
type session struct {
	server func() (*Server, error) // searches once
	cancel context.CancelFunc      // ends the search

	mu        sync.Mutex
	templates map[uintptr]func() (string, error) // by migration; each makes its template once
	databases map[string]bool                    // everything to drop at the end
}

func newSession() *session {
	ctx, cancel := context.WithCancel(context.Background())
	return &session{
		server:    sync.OnceValues(func() (*Server, error) { return Find(ctx, logf) }),
		cancel:    cancel,
		templates: map[uintptr]func() (string, error){},
		databases: map[string]bool{},
	}
}

func (s *session) database(ctx context.Context, migrate migration) (name, databaseURL string, err error) {
	template := "template1"
	if migrate != nil {
		if template, err = s.template(migrate)(); err != nil {
			return "", "", err
		}
	}
	name = TempName("test")
	databaseURL, err = s.create(ctx, name, template)
	return name, databaseURL, err
}

func (s *session) template(migrate migration) func() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := reflect.ValueOf(migrate).Pointer()
	if s.templates[key] == nil {
		s.templates[key] = sync.OnceValues(func() (string, error) { return s.makeTemplate(migrate) })
	}
	return s.templates[key]
}

// makeTemplate does not depend on the test that happens to ask first. It lets
// nobody connect afterwards: a database can only be copied while nobody is.
func (s *session) makeTemplate(migrate migration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	name := TempName("template")
	databaseURL, err := s.create(ctx, name, "template1")
	if err != nil {
		return "", err
	}
	if err := migrate(ctx, databaseURL); err != nil {
		return "", fmt.Errorf("migrating template: %w", err)
	}
	server, err := s.server()
	if err != nil {
		return "", err
	}
	if err := server.exec(ctx, "alter database "+quote(name)+" with allow_connections false"); err != nil {
		return "", fmt.Errorf("closing template: %w", err)
	}
	return name, nil
}

func (s *session) create(ctx context.Context, name, template string) (string, error) {
	server, err := s.server()
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.databases[name] = true
	s.mu.Unlock()
	return server.create(ctx, name, template)
}

func (s *session) drop(ctx context.Context, name string) error {
	server, err := s.server()
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.databases, name)
	s.mu.Unlock()
	return server.DropDatabase(ctx, name)
}

// close drops what there is and stops the server. A search under way is cut
// short and waited for, so that no server is left behind; one that has not
// begun finds nothing any more.
func (s *session) close() {
	s.cancel()
	server, err := s.server()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.databases {
		if err := server.DropDatabase(ctx, name); err != nil {
			logf("cleaning up: %v", err)
		}
	}
	server.Stop()
}

func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "pgtest: "+format+"\n", args...)
}
