package server_test

import (
	"net/http"
	"testing"
)

// While Census gives no usable answer, POST is answered 503 with Retry-After and nothing is stored.
// Entries can still be read.
func TestCensusFails(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := a.create(t)
	post := func(what string, status int, problem string) {
		t.Helper()
		answer := a.call(t, a.shop, owner, http.MethodPost, "/entry/", newEntry)
		wantProblem(t, answer, status, problem)
		if (status == http.StatusServiceUnavailable) != (answer.Header().Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q", what, answer.Header().Get("Retry-After"))
		}
	}
	for what, handler := range map[string]http.HandlerFunc{
		"server error":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"overloaded":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"rejects the token":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"another user":         func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"uri":"?"}`)) },
		"drops the connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		a.censusAnswers(handler)
		post(what, http.StatusServiceUnavailable, "unavailable")
	}
	a.censusAnswers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	post("no such user", http.StatusUnprocessableEntity, "invalid-field")
	a.census.CloseClientConnections()
	a.census.Close()
	post("stopped", http.StatusServiceUnavailable, "unavailable")
	a.wantStored(t, 1)
	if answer := a.call(t, a.shop, owner, http.MethodGet, path, ""); answer.Code != http.StatusOK {
		t.Errorf("GET: %d %s", answer.Code, answer.Body)
	}
}

// While the database lacks the table, both routes are answered 503. Afterwards they work again.
func TestDatabaseFails(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := a.create(t)
	execute := func(sql string) {
		t.Helper()
		if _, err := a.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	execute(`alter table journal_entries rename to gone`)
	wantProblem(t, a.call(t, a.shop, owner, http.MethodGet, path, ""), http.StatusServiceUnavailable, "unavailable")
	wantProblem(t, a.call(t, a.shop, owner, http.MethodPost, "/entry/", newEntry), http.StatusServiceUnavailable, "unavailable")
	execute(`alter table gone rename to journal_entries`)
	a.wantStored(t, 1)
	if answer := a.call(t, a.shop, owner, http.MethodGet, path, ""); answer.Code != http.StatusOK {
		t.Errorf("GET: %d %s", answer.Code, answer.Body)
	}
}
