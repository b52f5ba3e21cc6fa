package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpclient"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/pgtest"
)

// exchange sends a signed request in the reader's name and returns the answer with its body.
func (s *system) exchange(t *testing.T, method, path, body string) (res *http.Response, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, name+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body, r.ContentLength, r.GetBody = nil, 0, nil
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	s.shop.Sign(t, r, name, reader)
	client, err := httpclient.New(httpclient.Config{CAFile: s.file("tls.pem"), ConnectTo: "herald.example.com:443:" + s.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	if res, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	return res, content(t, res)
}

func content(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (s *system) post(t *testing.T) (*http.Response, string) {
	t.Helper()
	return s.exchange(t, http.MethodPost, "notification/", welcome)
}

// getter creates a notification and returns a function that reads it.
func (s *system) getter(t *testing.T) func(*testing.T) (*http.Response, string) {
	t.Helper()
	res, body := s.post(t)
	var created struct{ URI string }
	if err := json.Unmarshal([]byte(body), &created); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("POST: %d %s", res.StatusCode, body)
	}
	return func(t *testing.T) (*http.Response, string) {
		t.Helper()
		return s.exchange(t, http.MethodGet, strings.TrimPrefix(created.URI, name), "")
	}
}

// readiness asks the admin listener.
func (s *system) readiness(t *testing.T) (*http.Response, string) {
	t.Helper()
	res, err := http.DefaultClient.Get("http://" + s.adminAddr + "/readyz")
	if err != nil {
		return &http.Response{}, err.Error() // it does not listen yet
	}
	return res, content(t, res)
}

// wantUnavailable fails the test unless an answer says that the request can be sent again.
func wantUnavailable(t *testing.T, what string, res *http.Response, body string) {
	t.Helper()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(body, ":problem:") ||
		!strings.Contains(body, "unavailable") || strings.Contains(body, "made up") {
		t.Errorf("%s: %d, Retry-After %q: %s", what, res.StatusCode, res.Header.Get("Retry-After"), body)
	}
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
	deadline := time.Now().Add(30 * time.Second)
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

// While the database cannot do its part, requests are answered with 503 and Retry-After, and Herald is not ready.
func TestOutages(t *testing.T) {
	t.Parallel()
	for _, outage := range pgtest.Outages() {
		t.Run(outage.Name, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewUnreliable(t, pgtest.New(t, migrations.Up), "notifications")
			s := newWorld(t, database.URL).start(t)
			await(t, "readiness at first", http.StatusOK, s.readiness)
			get := s.getter(t)
			database.Begin(outage)
			if outage.ReadsWork {
				await(t, "GET", http.StatusOK, get)
			} else {
				res, body := get(t)
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
			await(t, "GET afterwards", http.StatusOK, get)
			await(t, "POST afterwards", http.StatusCreated, s.post)
			await(t, "readiness afterwards", http.StatusOK, s.readiness)
			s.wantEnd(t)
		})
	}
}

// What is Herald's own fault is none of the database's.
func TestOwnFault(t *testing.T) {
	t.Parallel()
	database := pgtest.NewUnreliable(t, pgtest.New(t, migrations.Up), "notifications")
	s := newWorld(t, database.URL).start(t)
	get := s.getter(t)
	database.Begin(pgtest.OwnFault())
	defer database.End(pgtest.OwnFault())
	await(t, "GET", http.StatusInternalServerError, get)
	await(t, "POST", http.StatusInternalServerError, s.post)
}

// A Herald that can accept notifications but not deliver them is not ready.
func TestNotReadyWithoutDeliveries(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, migrations.Up)
	execSQL(t, databaseURL, `revoke execute on function pg_advisory_lock_shared(integer, integer) from public`)
	s := newWorld(t, pgtest.NewUnreliable(t, databaseURL, "notifications").URL).start(t)
	for range 3 {
		res, body := s.readiness(t)
		if res.StatusCode != http.StatusServiceUnavailable || body != "not ready: deliveries\n" || res.Header.Get("Retry-After") == "" {
			t.Errorf("readiness: %d %q", res.StatusCode, body)
		}
	}
	if res, body := s.post(t); res.StatusCode != http.StatusCreated {
		t.Errorf("POST: %d %s", res.StatusCode, body)
	}
	execSQL(t, databaseURL, `grant execute on function pg_advisory_lock_shared(integer, integer) to public`)
	await(t, "readiness", http.StatusOK, s.readiness)
	s.awaitMail(t)
	s.wantEnd(t)
}
