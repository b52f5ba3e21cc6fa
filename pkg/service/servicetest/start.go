package servicetest

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/pgtest"
)

// The service starts before its database is migrated, is not ready, and becomes ready with the
// migration.
func (s Service) testStartsBeforeMigration(t *testing.T) {
	w := s.NewWorld(t, pgtest.New(t, nil))
	system := w.Start(t)
	Execute(t, s.Define, system.Admin(), "healthcheck").MustFail(t, 1, "503")
	Execute(t, s.Define, w.Environ, "migrate").MustSucceed(t)
	Execute(t, s.Define, system.Admin(), "healthcheck").MustSucceed(t)
	s.fill(t, w.DatabaseURL)
	if res, body := system.Send(t, http.MethodPost, s.WritePath, s.WriteBody); res.StatusCode != s.Written {
		t.Errorf("POST: %d %s", res.StatusCode, body)
	}
	w.awaitWork(t, 1)
	system.WantEnd(t)
}

func (w *World) awaitWork(t *testing.T, writes int) {
	t.Helper()
	if w.AwaitWork != nil {
		w.AwaitWork(t, writes)
	}
}

func (s Service) testStartsWithoutDatabase(t *testing.T) {
	system := s.NewWorld(t, s.unreachable()).Start(t)
	Execute(t, s.Define, system.Admin(), "healthcheck").MustFail(t, 1, "503")
	res, body := system.Send(t, http.MethodGet, s.ReadPath, "")
	if res.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, "127.0.0.1") {
		t.Errorf("GET: %d %s", res.StatusCode, body)
	}
	res, body = system.Send(t, http.MethodPost, s.WritePath, s.WriteBody)
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("POST: %d %s", res.StatusCode, body)
	}
	system.WantEnd(t)
}

// Refused are settings, as NAME=value without the prefix, with which serve does not start, and
// texts of its error, which may name variables without the prefix.
type Refused struct{ Settings, Want []string }

// Faults in files and addresses are reported before the service listens, with the names of their
// settings.
func (s Service) testRefusesToStart(t *testing.T) {
	w := s.NewWorld(t, s.unreachable())
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("issuers:\n  - issuer: https://a.service/\n    key: a.pem\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	prefix := s.variable("")
	for _, row := range append([]Refused{
		{[]string{"DATABASE_URL=postgres://x:y:z"}, []string{prefix + "DATABASE_URL: "}},
		{
			[]string{"KEY_FILE=/nowhere", "TRUST_FILE=" + bad},
			[]string{prefix + "KEY_FILE: ", "/nowhere", prefix + "TRUST_FILE: ", "bad.yaml:3", `"key"`},
		},
		{[]string{"KEY_FILE=/nowhere"}, []string{prefix + "KEY_FILE: "}},
		{[]string{"KEY_FILE=" + w.CAFile}, []string{prefix + "KEY_FILE: "}},
		{[]string{"TRUST_FILE=/nowhere"}, []string{prefix + "TRUST_FILE: ", "/nowhere"}},
		{[]string{"CA_FILE=/nowhere"}, []string{prefix + "CA_FILE", "/nowhere"}},
		{[]string{"CONNECT_TO=other.service"}, []string{prefix + "CONNECT_TO", "other.service"}},
		{[]string{"TLS_CERT_FILE=/nowhere"}, []string{prefix + "TLS_CERT_FILE", "/nowhere"}},
		{[]string{"TLS_KEY_FILE=" + w.CAFile}, []string{prefix + "TLS_KEY_FILE"}},
		{[]string{"LISTEN=127.0.0.1:http:x"}, []string{prefix + "LISTEN"}},
		{[]string{"ADMIN_LISTEN=256.0.0.1:0"}, []string{prefix + "ADMIN_LISTEN"}},
	}, s.Refused...) {
		environ := w.Environ
		for _, setting := range row.Settings {
			environ = append(slices.Clip(environ), prefix+setting)
		}
		got := Execute(t, s.Define, environ, "serve")
		for _, want := range row.Want {
			got.MustFail(t, 2, want)
		}
		if strings.Contains(got.Err.Error(), "hunter2") {
			t.Errorf("with %q: the password is printed: %v", row.Settings, got.Err)
		}
	}
}
