package main

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/pgtest"
)

// With the smallest pool everything works, on no more connections than that.
func TestSmallestPool(t *testing.T) {
	t.Parallel()
	database := pgtest.NewUnreliable(t, pgtest.New(t, migrations.Up), "notifications")
	database.LimitConnections(4)
	s := newWorld(t, database.URL+"&pool_max_conns=4").start(t)
	await(t, "readiness", http.StatusOK, s.readiness)
	const requests = 30
	var wait sync.WaitGroup
	for range requests {
		wait.Go(func() {
			if res, body := s.post(t); res.StatusCode != http.StatusCreated {
				t.Errorf("POST: %d %s", res.StatusCode, body)
			}
		})
	}
	wait.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.mail.WaitFor(ctx, requests); err != nil {
		t.Error(err)
	}
	await(t, "readiness", http.StatusOK, s.readiness)
	s.wantEnd(t)
}

// A pool_max_conns is obeyed or refused, in both forms of the setting, and is nothing to the migration.
func TestPoolSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "postgres://127.0.0.1:1/herald")
	for _, row := range []struct{ setting, want string }{
		{"postgres://127.0.0.1:1/herald?pool_max_conns=3", "HERALD_DATABASE_URL: pool_max_conns is 3, and the smallest that works is 4"},
		{"host=127.0.0.1 port=1 pool_max_conns=1", "HERALD_DATABASE_URL: pool_max_conns is 1, and the smallest that works is 4"},
		{"postgres://127.0.0.1:1/herald?pool_max_conns=0", "HERALD_DATABASE_URL: pool_max_conns is 0, and the smallest that works is 4"},
		{"postgres://127.0.0.1:1/herald?pool_max_conns=-7", "HERALD_DATABASE_URL: pool_max_conns is -7, and the smallest that works is 4"},
		{"postgres://127.0.0.1:1/herald?pool_max_conns=many", "HERALD_DATABASE_URL: pool_max_conns must be a whole number"},
		{"postgres://127.0.0.1:1/herald?pool_max_conn_lifetime=1", "HERALD_DATABASE_URL: pool_max_conn_lifetime cannot be read"},
	} {
		execute(t, append(w.environ, "HERALD_DATABASE_URL="+row.setting), "serve").mustFail(t, 2, row.want)
	}
	databaseURL := pgtest.New(t, nil)
	for _, params := range []string{"&pool_max_conns=2", "&pool_max_conns=20&pool_min_conns=1&pool_max_conn_idle_time=1s"} {
		execute(t, []string{"HERALD_DATABASE_URL=" + databaseURL + params}, "migrate").mustSucceed(t)
	}
}
