package database_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t *testing.T, databaseURL string) *pgxpool.Pool {
	t.Helper()
	config, err := database.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := config.Open(t.Context(), config.MaxConns(4))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Whatever is wrong with a connection string, the error does not repeat it.
func TestParseKeepsTheSecret(t *testing.T) {
	t.Parallel()
	for _, setting := range pgtest.MalformedSettings("hunter2") {
		if _, err := database.Parse(setting); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{
		"postgres://u:p%40%2F%3F%23@host.example:5432/x?sslmode=disable",
		"postgresql://u@[::1]:5432/x", "postgres:///x?host=/run/postgresql", "postgres://u:p@a,b:5433/x",
		"postgres://localhost/x?options=-csearch_path%3Da",
		"host=localhost user=u password='a b' dbname=x", "host=/run/postgresql dbname=x", "host=10.0.0.1 hostaddr=10.0.0.1", "",
	} {
		if _, err := database.Parse(setting); err != nil {
			t.Errorf("%s: %v", setting, err)
		}
	}
	for setting, want := range map[string]string{
		"postgres://u:a@b@host/x":         "percent-encoded",
		"postgres://u:a/b@host/x":         "invalid port",
		"postgres://u:1/b@host/x":         "percent-encoded",
		"host=localhost port=x":           "invalid port",
		"host=localhost sslmode=x":        "TLS",
		"host=localhost password=a b":     "keywords and values",
		"host=localhost password=a b c=x": "keywords and values",
	} {
		if _, err := database.Parse(setting); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", setting, err, want)
		}
	}
}

// The parameters of the session are set, and one that is refused is not repeated.
func TestSessionParameters(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, nil)
	var got string
	err := open(t, databaseURL+"&statement_timeout=12345&application_name=a").QueryRow(t.Context(),
		`select current_setting('statement_timeout') || current_setting('application_name')`).Scan(&got)
	if err != nil || got != "12345msa" {
		t.Errorf("got %s, %v", got, err)
	}
	err = open(t, databaseURL+"&hunter2=1").Ping(t.Context())
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "42704") {
		t.Errorf("an unknown parameter: %v", err)
	}
}

func TestCheckSessions(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, nil)
	for way, want := range map[string]error{
		databaseURL: nil,
		pgtest.PgBouncer(t, databaseURL, "session"):     nil,
		pgtest.PgBouncer(t, databaseURL, "transaction"): database.ErrTransactionPooling,
		pgtest.PgBouncer(t, databaseURL, "statement"):   database.ErrTransactionPooling,
	} {
		config, err := database.Parse(way)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := config.CheckSessions(t.Context()); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
	}
	config, err := database.Parse("postgres://127.0.0.1:1/x")
	if err != nil {
		t.Fatal(err)
	}
	if err := config.CheckSessions(t.Context()); err == nil || errors.Is(err, database.ErrTransactionPooling) {
		t.Errorf("without a database: %v", err)
	}
}

func TestTryWrite(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, nil)
	if _, err := open(t, databaseURL).Exec(t.Context(), `create table t (i integer)`); err != nil {
		t.Fatal(err)
	}
	write := func(params string) error {
		var batch pgx.Batch
		batch.Queue(`insert into t values (1)`)
		return database.TryWrite(t.Context(), open(t, databaseURL+params), &batch)
	}
	if err := write(""); err != nil {
		t.Error(err)
	}
	for params, want := range map[string]string{
		"&default_transaction_read_only=on": "25006",
		"&temp_file_limit=100":              "53400", // in KB, in place of a disk without room for more
	} {
		if err := write(params); err == nil || !strings.Contains(err.Error(), want) || !database.Unavailable(err) {
			t.Errorf("with %s: %v, want %s", params, err, want)
		}
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	pool := open(t, pgtest.New(t, nil))
	raise := func(state string) error {
		_, err := pool.Exec(t.Context(), `do $$ begin raise exception using errcode = '`+state+`'; end $$`)
		return err
	}
	for state, want := range map[string]bool{
		"08000": true, "08003": true, "08P01": true, "25006": true, "25P03": true, "26000": true, "28000": true, "28P01": true,
		"3D000": true, "3F000": true, "40001": true, "40003": true, "40P01": true, "42501": true, "42703": true, "42883": true,
		"42P01": true, "42P05": true, "53000": true, "53100": true, "53200": true, "53300": true, "53400": true, "55006": true,
		"55P03": true, "57000": true, "57014": true, "57P01": true, "57P02": true, "57P03": true, "57P04": true, "57P05": true,
		"58000": true, "58030": true, "58P01": true, "F0000": true, "XX000": true, "XX001": true, "XX002": true,
		"0A000": false, "21000": false, "22001": false, "22021": false, "22P02": false, "23502": false, "23503": false,
		"23505": false, "23514": false, "25P02": false, "40002": false, "42601": false, "42804": false, "42P02": false,
		"54000": false, "55000": false, "P0001": false,
	} {
		if err := raise(state); err == nil || database.Unavailable(err) != want {
			t.Errorf("%s: %v is unavailability: %t", state, err, !want)
		}
	}
	pool.Close()
	for name, err := range map[string]error{
		"closed pool": raise("22001"), "waiting": context.DeadlineExceeded,
		"database/sql": fmt.Errorf("migrating: %w", driver.ErrBadConn), "closed": sql.ErrConnDone,
	} {
		if !database.Unavailable(err) {
			t.Errorf("%s: %v is none", name, err)
		}
	}
	for _, err := range []error{nil, pgx.ErrNoRows, errors.New("other"), context.Canceled} {
		if database.Unavailable(err) {
			t.Errorf("%v is unavailability", err)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	err := open(t, "host=localhost port=1 user=somebody dbname=something").Ping(t.Context())
	explained := database.Explain(err)
	text := explained.Error()
	if !errors.Is(explained, err) || strings.Contains(text, "some") || strings.Contains(text, "\n") ||
		!strings.HasPrefix(text, "the database is not available: ") || !strings.Contains(text, "127.0.0.1:1") {
		t.Errorf("got %s", text)
	}
	if other := errors.New("other"); database.Explain(other).Error() != "other" || database.Explain(nil) != nil {
		t.Error("other errors are changed")
	}
}
