package main

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/pgtest"
)

// A command whose connection breaks ends with one line that says so.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		migrate func(context.Context, string) error // run before
		hold    string                              // what the command then waits for
		args    []string
	}{
		{"migrate", nil, `select pg_advisory_lock(4097083626)`, []string{"migrate"}}, // goose's lock
		{
			"user add", migrations.Up, `lock table users in access exclusive mode`,
			[]string{"user", "add", "--name", "A", "--email", "a@example.com"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			databaseURL := pgtest.New(t, row.migrate)
			conn, err := pgx.Connect(t.Context(), databaseURL)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(context.Background()) }()
			for _, sql := range []string{"begin", row.hold} {
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			through, err := url.Parse(databaseURL)
			if err != nil {
				t.Fatal(err)
			}
			proxy := pgtest.NewProxy(t, through.Host)
			through.Host = proxy.Addr
			time.AfterFunc(time.Second, proxy.Refuse)
			got := execute(t, []string{"CENSUS_DATABASE_URL=" + through.String()}, row.args...)
			got.MustFail(t, 1, "the database is not available: ")
			if text := got.Err.Error() + got.Stderr; strings.Contains(text, "\n") {
				t.Errorf("several lines: %s", text)
			}
			t.Log(got.Err)
		})
	}
}
