package main

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// Through PgBouncer in session mode everything works: the migration, the first user, and the service.
func TestPgBouncerInSessionMode(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.PgBouncer(t, pgtest.New(t, nil), "session")
	environ := []string{"CENSUS_DATABASE_URL=" + databaseURL}
	for range 2 {
		execute(t, environ, "migrate").mustSucceed(t)
	}
	execute(t, environ, "user", "add", "--admin", "--name", "Admin", "--email", "admin@example.com").mustSucceed(t)
	s := start(t, databaseURL)
	await(t, "readiness", http.StatusOK, s.readiness)
	await(t, "GET", http.StatusOK, s.get)
	await(t, "POST", http.StatusConflict, s.post)
	s.wantEnd(t)
}

// A pooler that gives out no sessions is refused, also by a service that starts before the database.
func TestPgBouncerInOtherModes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "statement"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			office := svcauthtest.NewIssuer(t, "https://office.service/")
			environ, _ := environment(t, pgtest.PgBouncer(t, pgtest.New(t, nil), mode), office)
			for _, command := range []string{"migrate", "serve"} {
				got := execute(t, environ, command)
				got.mustFail(t, 2, "CENSUS_DATABASE_URL: ")
				got.mustFail(t, 2, "set its pool_mode to session")
			}
		})
	}
}

// A service that starts before its database looks for a pooler as soon as it can.
func TestPgBouncerFoundLater(t *testing.T) {
	t.Parallel()
	parsed, err := url.Parse(pgtest.PgBouncer(t, pgtest.New(t, nil), "transaction"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := pgtest.NewProxy(t, parsed.Host)
	proxy.Refuse()
	parsed.Host = proxy.Addr
	s := start(t, parsed.String())
	proxy.Accept()
	select {
	case err := <-s.ended:
		result{err: err}.mustFail(t, 2, "CENSUS_DATABASE_URL: the connection leads through a pooler")
	case <-time.After(30 * time.Second):
		t.Error("serve goes on")
	}
}
