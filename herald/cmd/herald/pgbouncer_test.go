package main

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"example.com/micromachine/pkg/pgtest"
)

// Through PgBouncer in session mode everything works: the migration, the service, and the delivery of a notification.
func TestPgBouncerInSessionMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.PgBouncer(t, pgtest.New(t, nil), "session"))
	for range 2 {
		execute(t, []string{"HERALD_DATABASE_URL=" + w.databaseURL}, "migrate").mustSucceed(t)
	}
	s := w.start(t)
	await(t, "readiness", http.StatusOK, s.readiness)
	get := s.getter(t)
	w.awaitMail(t)
	await(t, "GET", http.StatusOK, get)
	s.wantEnd(t)
}

// A pooler that gives out no sessions is refused, also by a service that starts before the database.
func TestPgBouncerInOtherModes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "statement"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pgtest.PgBouncer(t, pgtest.New(t, nil), mode))
			for _, command := range []string{"migrate", "serve"} {
				got := execute(t, w.environ, command)
				got.mustFail(t, 2, "HERALD_DATABASE_URL: ")
				got.mustFail(t, 2, "set its pool_mode to session")
			}
		})
	}
}

// A service that starts before its database looks for a pooler as soon as it can.
func TestPgBouncerFoundLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.PgBouncer(t, pgtest.New(t, nil), "transaction"))
	parsed, err := url.Parse(w.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := pgtest.NewProxy(t, parsed.Host)
	proxy.Refuse()
	parsed.Host = proxy.Addr
	w.databaseURL, w.environ = parsed.String(), append(w.environ, "HERALD_DATABASE_URL="+parsed.String())
	s := w.start(t)
	proxy.Accept()
	select {
	case err := <-s.ended:
		result{err: err}.mustFail(t, 2, "HERALD_DATABASE_URL: the connection leads through a pooler")
	case <-time.After(30 * time.Second):
		t.Error("serve goes on")
	}
}
