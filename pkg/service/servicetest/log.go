package servicetest

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/micromachine/pkg/pgtest"
)

// loggedOutages are the outages in testLogThroughOutages.
var loggedOutages = []string{"connection refused", "too many connections", "lock timeout", "not migrated"}

// All that the process prints is JSON, one object in a line, and a fault that repeats is not logged
// each time.
func (s Service) testLogThroughOutages(t *testing.T) {
	databaseURL := s.newDatabase(t)
	database := pgtest.NewUnreliable(t, databaseURL, s.Table)
	w := s.NewWorld(t, database.URL)
	system := &System{World: w, Addr: freeAddr(t), AdminAddr: freeAddr(t)}
	w.Set("LISTEN", system.Addr)
	w.Set("ADMIN_LISTEN", system.AdminAddr)
	var output bytes.Buffer
	cmd := exec.Command(os.Args[0], "serve")
	cmd.Env = append(slices.Clip(w.Environ), mainVariable+"=1")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	system.AwaitReady(t)
	post := s.poster(system)
	for _, outage := range pgtest.Outages() {
		if !slices.Contains(loggedOutages, outage.Name) {
			continue
		}
		database.Begin(outage)
		post(t)
		for deadline := time.Now().Add(1500 * time.Millisecond); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			system.Readiness(t)
		}
		post(t)
		database.End(outage)
		system.AwaitReady(t)
	}
	if s.Outages != nil {
		s.Outages(t, system, databaseURL)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	wantLog(t, output.String())
}

// wantLog fails the test unless an output is a log that reports each outage once or a few times.
func wantLog(t *testing.T, output string) {
	t.Helper()
	notReady := 0
	for line := range strings.Lines(output) {
		var record struct{ Level, Msg, Check string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Msg == "" {
			t.Errorf("not a record of the log: %s", line)
		}
		if record.Level == "ERROR" && record.Msg == "not ready" && record.Check == "database" {
			notReady++
		}
	}
	if notReady < len(loggedOutages) || notReady > 12 {
		t.Errorf("%d lines say that the database is not ready:\n%s", notReady, output)
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
