package pgtest_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var migrated atomic.Int32

// migrateNotes ends its connection just before it returns, so the server may still use the template
// when New copies it.
func migrateNotes(ctx context.Context, databaseURL string) error {
	migrated.Add(1)
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `create table note (text text not null)`)
	return err
}

func migrateTags(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `create table tag (name text not null)`)
	return err
}

func connect(tb testing.TB, databaseURL string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), databaseURL)
	if err != nil {
		tb.Fatalf("connecting: %v", err)
	}
	tb.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func query[T any](tb testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	tb.Helper()
	var v T
	if err := conn.QueryRow(tb.Context(), sql, args...).Scan(&v); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return v
}

func execute(tb testing.TB, conn *pgx.Conn, sql string) {
	tb.Helper()
	if _, err := conn.Exec(tb.Context(), sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

func TestNewCreatesADatabaseForEachTest(t *testing.T) {
	t.Parallel()
	for range 8 {
		t.Run("test", func(t *testing.T) {
			t.Parallel()
			conn := connect(t, pgtest.New(t, migrateNotes))
			if n := query[int](t, conn, `select count(*) from note`); n != 0 {
				t.Errorf("fresh database has %d notes", n)
			}
			execute(t, conn, `insert into note values ('mine')`)
			if n := query[int](t, conn, `select count(*) from note`); n != 1 {
				t.Errorf("database has %d notes, want the one of this test", n)
			}
			if n := migrated.Load(); n != 1 {
				t.Errorf("migrated %d times, want once", n)
			}
		})
	}
}

func TestNewSeparatesMigrations(t *testing.T) {
	t.Parallel()
	const tables = `select coalesce(string_agg(tablename, ','), '') from pg_tables where schemaname = 'public'`
	for _, test := range []struct {
		name    string
		migrate func(context.Context, string) error
		want    string
	}{
		{"notes", migrateNotes, "note"},
		{"tags", migrateTags, "tag"},
		{"none", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, pgtest.New(t, test.migrate))
			if got := query[string](t, conn, tables); got != test.want {
				t.Errorf("tables %q, want %q", got, test.want)
			}
		})
	}
}

func TestNewDropsWhenTheTestEnds(t *testing.T) { //nolint:tparallel // it checks what is left after its subtest
	t.Parallel()
	watcher := connect(t, pgtest.New(t, nil))
	var name string
	t.Run("user", func(t *testing.T) {
		// The connection stays open, as in a test that leaks it.
		conn, err := pgx.Connect(t.Context(), pgtest.New(t, nil))
		if err != nil {
			t.Fatalf("connecting: %v", err)
		}
		name = query[string](t, conn, `select current_database()`)
	})
	if query[bool](t, watcher, `select exists (select from pg_database where datname = $1)`, name) {
		t.Errorf("database %s is still there", name)
	}
}

func BenchmarkNew(b *testing.B) {
	pgtest.New(b, migrateNotes) // starts the server and creates the template
	for b.Loop() {
		pgtest.New(b, migrateNotes)
	}
}
