package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// Whatever happens, all that a process prints is JSON, a line each, and what repeats is not logged each time.
func TestLogThroughOutages(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, migrations.Up)
	database := pgtest.NewUnreliable(t, databaseURL, "users")
	s := &system{addr: freeAddr(t), adminAddr: freeAddr(t), office: svcauthtest.NewIssuer(t, "https://office.service/")}
	environ, caFile := environment(t, database.URL, s.office)
	s.caFile = caFile
	environ = append(environ, "CENSUS_LISTEN="+s.addr, "CENSUS_ADMIN_LISTEN="+s.adminAddr)
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
