package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpclient"
	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/pgtest"
)

// newUser is the body of a request that writes; the address is taken, so that it can be sent again.
const newUser = `{"name":"New","email":"admin@example.com"}`

// exchange sends a request and returns the answer with its body.
func (s *system) exchange(t *testing.T, r *http.Request) (res *http.Response, body string) {
	t.Helper()
	client, err := httpclient.New(httpclient.Config{CAFile: s.caFile, ConnectTo: "example.com:443:" + s.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	if res, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(content)
}

// wantUnavailable fails the test unless an answer says that the request can be sent again.
func wantUnavailable(t *testing.T, what string, res *http.Response, body string) {
	t.Helper()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(body, ":problem:") ||
		!strings.Contains(body, "unavailable") || strings.Contains(body, "made up") {
		t.Errorf("%s: %d, Retry-After %q: %s", what, res.StatusCode, res.Header.Get("Retry-After"), body)
	}
}

func (s *system) get(t *testing.T) (*http.Response, string) {
	t.Helper()
	return s.exchange(t, s.request(t, http.MethodGet, "user/1/", ""))
}

func (s *system) post(t *testing.T) (*http.Response, string) {
	t.Helper()
	return s.exchange(t, s.request(t, http.MethodPost, "user/", newUser))
}

// readiness asks the admin listener.
func (s *system) readiness(t *testing.T) (*http.Response, string) {
	t.Helper()
	res, err := http.DefaultClient.Get("http://" + s.adminAddr + "/readyz")
	if err != nil {
		return &http.Response{}, err.Error() // it does not listen yet
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(content)
}

// awaitNotReady waits until readiness names a check that fails.
func (s *system) awaitNotReady(t *testing.T, check string) {
	t.Helper()
	await(t, "readiness, without "+check, http.StatusServiceUnavailable, func(t *testing.T) (*http.Response, string) {
		t.Helper()
		res, body := s.readiness(t)
		if !strings.Contains(body, check) {
			res.StatusCode = 0
		} else if res.Header.Get("Retry-After") == "" {
			t.Error("not ready, without Retry-After")
		}
		return res, body
	})
}

// await waits until what is done answers with a status.
func await(t *testing.T, what string, status int, do func(*testing.T) (*http.Response, string)) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		res, body := do(t)
		if res.StatusCode == status {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: still %d: %s", what, res.StatusCode, body)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// startUnreliable starts a Census with one administrator whose database can be made to fail.
func startUnreliable(t *testing.T) (*system, *pgtest.Unreliable) {
	t.Helper()
	databaseURL := pgtest.New(t, migrations.Up)
	execute(t, []string{"CENSUS_DATABASE_URL=" + databaseURL},
		"user", "add", "--admin", "--name", "Admin", "--email", "admin@example.com").mustSucceed(t)
	database := pgtest.NewUnreliable(t, databaseURL, "users")
	s := start(t, database.URL)
	await(t, "GET at first", http.StatusOK, s.get)
	await(t, "POST at first", http.StatusConflict, s.post)
	await(t, "readiness at first", http.StatusOK, s.readiness)
	return s, database
}

// While the database cannot do its part, requests are answered with 503 and Retry-After, and Census is not ready.
func TestOutages(t *testing.T) {
	t.Parallel()
	for _, outage := range pgtest.Outages() {
		t.Run(outage.Name, func(t *testing.T) {
			t.Parallel()
			s, database := startUnreliable(t)
			database.Begin(outage)
			if outage.ReadsWork {
				await(t, "GET", http.StatusOK, s.get)
			} else {
				res, body := s.get(t)
				wantUnavailable(t, "GET", res, body)
			}
			for range 2 { // the first may only find that its connection has gone
				res, body := s.post(t)
				wantUnavailable(t, "POST", res, body)
			}
			if !strings.HasPrefix(outage.Name, "SQLSTATE") { // which is not raised without a row to look at
				s.awaitNotReady(t, "database")
			}
			database.End(outage)
			await(t, "GET afterwards", http.StatusOK, s.get)
			await(t, "POST afterwards", http.StatusConflict, s.post)
			await(t, "readiness afterwards", http.StatusOK, s.readiness)
		})
	}
}

// What is Census's own fault is none of the database's.
func TestOwnFault(t *testing.T) {
	t.Parallel()
	s, database := startUnreliable(t)
	database.Begin(pgtest.OwnFault())
	defer database.End(pgtest.OwnFault())
	await(t, "GET", http.StatusInternalServerError, s.get)
	await(t, "POST", http.StatusInternalServerError, s.post)
}
