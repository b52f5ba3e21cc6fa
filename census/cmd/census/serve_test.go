package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// Census runs from an empty database to an answer over TLS and an orderly end.
func TestServe(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, nil)
	database := []string{"CENSUS_DATABASE_URL=" + databaseURL}
	for range 2 {
		execute(t, database, "migrate").MustSucceed(t)
	}
	addAdmin(t, databaseURL)
	s := newWorld(t, databaseURL).Start(t)
	s.AwaitReady(t)
	execute(t, s.Admin(), "healthcheck").MustSucceed(t)

	res, body := s.Send(t, http.MethodGet, "user/1/", "")
	const admin = `{"uri":"https://example.com/user/1/","name":"Admin","email":"admin@example.com","locale":"en"}`
	if res.StatusCode != http.StatusOK || strings.TrimSpace(body) != admin {
		t.Errorf("GET /user/1/: %d %s, want %s", res.StatusCode, body, admin)
	}
	const newUser = `{"name":"New","email":"new@example.com"}`
	first := s.NewRequest(t, http.MethodPost, "user/", newUser)
	token := first.Header.Get(svcauth.Header)
	if res, body := s.Do(t, first); res.StatusCode != http.StatusCreated || !strings.Contains(body, "user/2/") {
		t.Errorf("POST /user/: %d %s", res.StatusCode, body)
	}
	again := s.NewRequest(t, http.MethodPost, "user/", newUser)
	again.Header.Set(svcauth.Header, token)
	if res, body := s.Do(t, again); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("POST /user/ with a used token: %d %s", res.StatusCode, body)
	}
	if n := burnt(t, databaseURL); n != 1 {
		t.Errorf("%d tokens are remembered in the database, want 1", n)
	}
	if metrics := s.Metrics(t); !strings.Contains(metrics, `svcauth_calls_refused_total{check="replay",issuer="https://office.service/"} 1`) {
		t.Errorf("metrics %s", metrics)
	}
	if res, body := s.Send(t, http.MethodGet, keys.JWKSPath, ""); res.StatusCode != http.StatusOK || !strings.Contains(body, `"kid"`) {
		t.Errorf("key set: %d %s", res.StatusCode, body)
	}
	s.WantEnd(t)
	execute(t, s.Admin(), "healthcheck").MustFail(t, 1, "readiness")
}

func burnt(t *testing.T, databaseURL string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), `select count(*) from svcauth_replay`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
