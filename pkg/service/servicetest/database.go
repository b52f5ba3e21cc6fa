package servicetest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"example.com/micromachine/pkg/pgtest"
)

// requests returns functions that send the service's GET and POST.
func (s Service) requests(t *testing.T, system *System) (get, post func(*testing.T) (*http.Response, string)) {
	t.Helper()
	path := s.Read(t, system)
	get = func(t *testing.T) (*http.Response, string) {
		t.Helper()
		return system.Send(t, http.MethodGet, path, "")
	}
	return get, s.poster(system)
}

// poster returns a function that sends the service's POST.
func (s Service) poster(system *System) func(*testing.T) (*http.Response, string) {
	return func(t *testing.T) (*http.Response, string) {
		t.Helper()
		return system.Send(t, http.MethodPost, s.WritePath, s.WriteBody)
	}
}

// While the database fails, requests are answered 503 with Retry-After, and the service is not
// ready. One service goes through all outages that are short, and one through each of the others.
func (s Service) testOutages(t *testing.T) {
	var short []pgtest.Outage
	for _, outage := range pgtest.Outages() {
		if !outage.Hangs {
			short = append(short, outage)
			continue
		}
		t.Run(outage.Name, func(t *testing.T) {
			t.Parallel()
			s.testOutagesInTurn(t, outage)
		})
	}
	t.Run("in turn", func(t *testing.T) {
		t.Parallel()
		s.testOutagesInTurn(t, short...)
	})
}

func (s Service) testOutagesInTurn(t *testing.T, outages ...pgtest.Outage) {
	database := pgtest.NewUnreliable(t, s.newDatabase(t), s.Table)
	system := s.NewWorld(t, database.URL).Start(t)
	system.AwaitReady(t)
	get, post := s.requests(t, system)
	Await(t, "GET at first", http.StatusOK, get)
	Await(t, "POST at first", s.Written, post)
	for _, outage := range outages {
		t.Run(outage.Name, func(t *testing.T) { s.testOutage(t, database, system, outage, get, post) })
	}
	system.WantEnd(t)
}

func (s Service) testOutage(
	t *testing.T, database *pgtest.Unreliable, system *System, outage pgtest.Outage,
	get, post func(*testing.T) (*http.Response, string),
) {
	database.Begin(outage)
	if outage.ReadsWork {
		Await(t, "GET", http.StatusOK, get)
	} else {
		res, body := get(t)
		WantUnavailable(t, "GET", res, body)
	}
	for range 2 { // the first may only find that its connection has gone
		res, body := post(t)
		WantUnavailable(t, "POST", res, body)
	}
	if !strings.HasPrefix(outage.Name, "SQLSTATE") { // which is only raised when there is a row
		system.awaitNotReady(t, "database")
	}
	database.End(outage)
	Await(t, "GET afterwards", http.StatusOK, get)
	Await(t, "POST afterwards", s.Written, post)
	Await(t, "readiness afterwards", http.StatusOK, system.Readiness)
}

// A fault of the service itself is answered 500.
func (s Service) testOwnFault(t *testing.T) {
	database := pgtest.NewUnreliable(t, s.newDatabase(t), s.Table)
	system := s.NewWorld(t, database.URL).Start(t)
	system.AwaitReady(t)
	get, post := s.requests(t, system)
	database.Begin(pgtest.OwnFault())
	defer database.End(pgtest.OwnFault())
	Await(t, "GET", http.StatusInternalServerError, get)
	Await(t, "POST", http.StatusInternalServerError, post)
}

// With the smallest pool the service works, and opens no more connections than that.
func (s Service) testSmallestPool(t *testing.T) {
	database := pgtest.NewUnreliable(t, s.newDatabase(t), s.Table)
	least := s.Define().Conns.Least
	database.LimitConnections(int(least))
	w := s.NewWorld(t, fmt.Sprintf("%s&pool_max_conns=%d", database.URL, least))
	system := w.Start(t)
	system.AwaitReady(t)
	get, post := s.requests(t, system)
	const requests = 30
	var wait sync.WaitGroup
	for range requests {
		wait.Go(func() {
			if res, body := get(t); res.StatusCode != http.StatusOK {
				t.Errorf("GET: %d %s", res.StatusCode, body)
			}
			if res, body := post(t); res.StatusCode != s.Written {
				t.Errorf("POST: %d %s", res.StatusCode, body)
			}
		})
	}
	wait.Wait()
	w.awaitWork(t, requests)
	system.AwaitReady(t)
	system.WantEnd(t)
}

// A pool_max_conns that is too small is refused, in both forms of the setting. Other commands than
// serve ignore it.
func (s Service) testPoolSize(t *testing.T) {
	w := s.NewWorld(t, s.unreachable())
	name, least := s.variable("DATABASE_URL"), s.Define().Conns.Least
	tooFew := func(n int32) string {
		return fmt.Sprintf("%s: pool_max_conns is %d, and the smallest that works is %d", name, n, least)
	}
	const base = "postgres://127.0.0.1:1/x?"
	for _, row := range []struct{ setting, want string }{
		{base + fmt.Sprintf("pool_max_conns=%d", least-1), tooFew(least - 1)},
		{"host=127.0.0.1 port=1 pool_max_conns=1", tooFew(1)},
		{base + "pool_max_conns=0", tooFew(0)},
		{base + "pool_max_conns=-7", tooFew(-7)},
		{base + "pool_max_conns=many", name + ": pool_max_conns must be a whole number"},
		{base + "pool_max_conn_lifetime=1", name + ": pool_max_conn_lifetime cannot be read"},
	} {
		Execute(t, s.Define, w.With("DATABASE_URL="+row.setting), "serve").MustFail(t, 2, row.want)
	}
	databaseURL := pgtest.New(t, nil)
	for i, params := range []string{
		"&pool_max_conns=2", "&pool_max_conns=20&pool_min_conns=1&pool_max_conn_idle_time=1s",
	} {
		environ := []string{name + "=" + databaseURL + params}
		Execute(t, s.Define, environ, "migrate").MustSucceed(t)
		if s.Command != nil {
			Execute(t, s.Define, environ, s.Command(i)...).MustSucceed(t)
		}
	}
}

// Through PgBouncer in session mode everything works: the migration, the service and its work.
func (s Service) testPgBouncerInSessionMode(t *testing.T) {
	w := s.NewWorld(t, pgtest.PgBouncer(t, pgtest.New(t, nil), "session"))
	for range 2 {
		Execute(t, s.Define, w.Environ, "migrate").MustSucceed(t)
	}
	s.fill(t, w.DatabaseURL)
	system := w.Start(t)
	system.AwaitReady(t)
	get, post := s.requests(t, system)
	Await(t, "POST", s.Written, post)
	w.awaitWork(t, 1)
	Await(t, "GET", http.StatusOK, get)
	system.WantEnd(t)
}

// A pooler in another mode is refused.
func (s Service) testPgBouncerInOtherModes(t *testing.T) {
	for _, mode := range []string{"transaction", "statement"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := s.NewWorld(t, pgtest.PgBouncer(t, pgtest.New(t, nil), mode))
			for _, command := range []string{"migrate", "serve"} {
				got := Execute(t, s.Define, w.Environ, command)
				got.MustFail(t, 2, s.variable("DATABASE_URL: "))
				got.MustFail(t, 2, "set its pool_mode to session")
			}
		})
	}
}

// A service that starts before its database finds such a pooler as soon as it can be reached, and
// ends.
func (s Service) testPgBouncerFoundLater(t *testing.T) {
	parsed, err := url.Parse(pgtest.PgBouncer(t, pgtest.New(t, nil), "transaction"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := pgtest.NewProxy(t, parsed.Host)
	proxy.Refuse()
	parsed.Host = proxy.Addr
	system := s.NewWorld(t, parsed.String()).Start(t)
	proxy.Accept()
	Result{Err: system.awaitEnd(t)}.MustFail(t, 2, s.variable("DATABASE_URL: the connection leads through a pooler"))
}
