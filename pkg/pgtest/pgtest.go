// Package pgtest gives each test a PostgreSQL database of its own, migrated, in
// some 30 ms: the schema is brought up once per test process, in a template that
// every test's database is then a copy of.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestStore(t *testing.T) {
//		databaseURL := pgtest.New(t, migrations.Census)
//		...
//	}
//
// The server is found by Find. A run over many packages shares one through the
// command withpostgres, which does the search once and sets DATABASE_URL.
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
		if sig, ok := <-signals; ok {
			process.close()
			os.Exit(128 + int(sig.(syscall.Signal)))
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
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	name, databaseURL, err := process.database(ctx, migrate)
	if err != nil {
		tb.Fatalf("pgtest.New: %v", err)
	}
	tb.Cleanup(func() {
		if err := process.drop(name); err != nil {
			tb.Errorf("pgtest.New: %v", err)
		}
	})
	return databaseURL
}

type migration = func(ctx context.Context, databaseURL string) error

// template is a database that is migrated once and then only copied.
type template struct {
	once sync.Once
	name string
	err  error
}

type session struct {
	ctx    context.Context // ends when the session closes
	cancel context.CancelFunc

	search sync.Once
	server *Server
	err    error

	mu        sync.Mutex
	templates map[uintptr]*template
	databases map[string]bool // everything to drop at the end
}

func newSession() *session {
	s := &session{templates: map[uintptr]*template{}, databases: map[string]bool{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *session) find() { s.server, s.err = Find(s.ctx, logf) }

func (s *session) database(ctx context.Context, migrate migration) (name, databaseURL string, err error) {
	s.search.Do(s.find)
	if s.err != nil {
		return "", "", s.err
	}
	source := "template1"
	if migrate != nil {
		t := s.template(reflect.ValueOf(migrate).Pointer())
		t.once.Do(func() { t.name, t.err = s.prepare(s.ctx, migrate) })
		if t.err != nil {
			return "", "", t.err
		}
		source = t.name
	}
	name = TempName("test")
	databaseURL, err = s.create(ctx, name, source)
	return name, databaseURL, err
}

func (s *session) template(key uintptr) *template {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.templates[key]
	if t == nil {
		t = &template{}
		s.templates[key] = t
	}
	return t
}

// prepare makes a template. It lets nobody connect afterwards: a template can
// only be copied while nobody is.
func (s *session) prepare(ctx context.Context, migrate migration) (string, error) {
	name := TempName("template")
	databaseURL, err := s.create(ctx, name, "template1")
	if err != nil {
		return "", err
	}
	if err := migrate(ctx, databaseURL); err != nil {
		return "", fmt.Errorf("migrating template: %w", err)
	}
	if err := s.server.exec(ctx, "alter database "+quote(name)+" with allow_connections false"); err != nil {
		return "", fmt.Errorf("closing template: %w", err)
	}
	return name, nil
}

func (s *session) create(ctx context.Context, name, source string) (string, error) {
	s.mu.Lock()
	s.databases[name] = true
	s.mu.Unlock()
	return s.server.create(ctx, name, source)
}

func (s *session) drop(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.mu.Lock()
	delete(s.databases, name)
	s.mu.Unlock()
	return s.server.DropDatabase(ctx, name)
}

// close drops what there is and stops the server. A search or migration under
// way is cut short and waited for, so that no server is left behind.
func (s *session) close() {
	s.cancel()
	s.search.Do(func() {})
	if s.server == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for name := range s.databases {
		if err := s.server.DropDatabase(ctx, name); err != nil {
			logf("cleaning up: %v", err)
		}
	}
	s.server.Stop()
}

func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "pgtest: "+format+"\n", args...)
}
