package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/pgtest"
)

// Whatever happens, all that a process prints is JSON, a line each, and what repeats is not logged each time.
func TestLogThroughOutages(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, migrations.Up)
	database := pgtest.NewUnreliable(t, databaseURL, "notifications")
	s := &system{world: newWorld(t, database.URL), addr: freeAddr(t), adminAddr: freeAddr(t)}
	environ := append(slices.Clip(s.environ), "HERALD_LISTEN="+s.addr, "HERALD_ADMIN_LISTEN="+s.adminAddr)
	var output bytes.Buffer
	cmd := exec.Command(os.Args[0], "serve")
	cmd.Env = append(slices.Clip(environ), mainVariable+"=1")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "readiness", http.StatusOK, s.readiness)
	for _, outage := range pgtest.Outages() {
		if !slices.Contains([]string{"connection refused", "too many connections", "lock timeout", "not migrated"}, outage.Name) {
			continue
		}
		database.Begin(outage)
		s.post(t)
		for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			s.readiness(t)
		}
		s.post(t)
		database.End(outage)
		await(t, "readiness", http.StatusOK, s.readiness)
	}
	// A notification whose job cannot be stored is not accepted.
	service, err := url.Parse(database.URL)
	if err != nil {
		t.Fatal(err)
	}
	role := service.User.Username()
	execSQL(t, databaseURL, `revoke insert on river_job from `+role)
	res, body := s.post(t)
	wantUnavailable(t, "POST", res, body)
	execSQL(t, databaseURL, `grant insert on river_job to `+role)
	await(t, "POST afterwards", http.StatusCreated, s.post)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	notReady := 0
	for line := range strings.Lines(output.String()) {
		var record struct{ Level, Msg, Check string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Msg == "" {
			t.Errorf("not a record of the log: %s", line)
		}
		if record.Level == "ERROR" && record.Msg == "not ready" && record.Check == "database" {
			notReady++
		}
	}
	if notReady < 4 || notReady > 12 {
		t.Errorf("%d lines say that the database is not ready:\n%s", notReady, &output)
	}
}

func execSQL(t *testing.T, databaseURL, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// freeAddr returns an address that nothing listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
