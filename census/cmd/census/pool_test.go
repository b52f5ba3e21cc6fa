package main

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// With the smallest pool everything works, on no more connections than that.
func TestSmallestPool(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, migrations.Up)
	execute(t, []string{"CENSUS_DATABASE_URL=" + databaseURL},
		"user", "add", "--admin", "--name", "Admin", "--email", "admin@example.com").mustSucceed(t)
	database := pgtest.NewUnreliable(t, databaseURL, "users")
	database.LimitConnections(2)
	s := start(t, database.URL+"&pool_max_conns=2")
	await(t, "readiness", http.StatusOK, s.readiness)
	var wait sync.WaitGroup
	for range 30 {
		wait.Go(func() {
			if res, body := s.get(t); res.StatusCode != http.StatusOK {
				t.Errorf("GET: %d %s", res.StatusCode, body)
			}
			if res, body := s.post(t); res.StatusCode != http.StatusConflict {
				t.Errorf("POST: %d %s", res.StatusCode, body)
			}
		})
	}
	wait.Wait()
	await(t, "readiness", http.StatusOK, s.readiness)
	s.wantEnd(t)
}

// A pool_max_conns is obeyed or refused, in both forms of the setting, and is nothing to the migration.
func TestPoolSize(t *testing.T) {
	t.Parallel()
	environ, _ := environment(t, "postgres://127.0.0.1:1/census", svcauthtest.NewIssuer(t, "https://office.service/"))
	for _, row := range []struct{ setting, want string }{
		{"postgres://127.0.0.1:1/census?pool_max_conns=1", "CENSUS_DATABASE_URL: pool_max_conns is 1, and the smallest that works is 2"},
		{"host=127.0.0.1 port=1 pool_max_conns=1", "CENSUS_DATABASE_URL: pool_max_conns is 1, and the smallest that works is 2"},
		{"postgres://127.0.0.1:1/census?pool_max_conns=0", "CENSUS_DATABASE_URL: pool_max_conns is 0, and the smallest that works is 2"},
		{"postgres://127.0.0.1:1/census?pool_max_conns=-7", "CENSUS_DATABASE_URL: pool_max_conns is -7, and the smallest that works is 2"},
		{"postgres://127.0.0.1:1/census?pool_max_conns=many", "CENSUS_DATABASE_URL: pool_max_conns must be a whole number"},
		{"postgres://127.0.0.1:1/census?pool_max_conn_lifetime=1", "CENSUS_DATABASE_URL: pool_max_conn_lifetime cannot be read"},
	} {
		execute(t, append(slices.Clip(environ), "CENSUS_DATABASE_URL="+row.setting), "serve").mustFail(t, 2, row.want)
	}
	databaseURL := pgtest.New(t, nil)
	for i, params := range []string{"&pool_max_conns=2", "&pool_max_conns=20&pool_min_conns=1&pool_max_conn_idle_time=1s"} {
		execute(t, []string{"CENSUS_DATABASE_URL=" + databaseURL + params}, "migrate").mustSucceed(t)
		execute(t, []string{"CENSUS_DATABASE_URL=" + databaseURL + params},
			"user", "add", "--name", "A", "--email", fmt.Sprintf("a%d@example.com", i)).mustSucceed(t)
	}
}
