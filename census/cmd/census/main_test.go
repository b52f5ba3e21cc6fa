package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/command"
	"example.com/micromachine/pkg/pgtest"
)

// mainVariable has the test program be the service, with its settings and its first argument "serve".
const mainVariable = "CENSUS_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		os.Exit(command.Main("census", run))
	}
	pgtest.Main(m)
}

// result is what a command did.
type result struct {
	stdout, stderr string
	err            error
}

// census runs a command whose whole environment is environ.
func execute(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), args, environ, &stdout, &stderr)
	return result{stdout.String(), stderr.String(), err}
}

func (r result) mustSucceed(t *testing.T) {
	t.Helper()
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.stderr)
	}
}

func (r result) mustFail(t *testing.T, code int, message string) {
	t.Helper()
	if r.err == nil || command.ExitCode(r.err) != code || !strings.Contains(r.err.Error(), message) {
		t.Errorf("got %v, want exit code %d and %q", r.err, code, message)
	}
	if r.stdout != "" {
		t.Errorf("a failing command printed %q", r.stdout)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}, {"user", "add", "--help"}} {
		got := execute(t, nil, args...)
		got.mustSucceed(t)
		if got.stdout != usage {
			t.Errorf("%v printed %q", args, got.stdout)
		}
	}
	for _, row := range []struct{ args, message string }{
		{"", "no command"},
		{"sevre", `unknown command "sevre"`},
		{"--verbose", `unknown command "--verbose"`},
		{"user", `unknown command "user"`},
		{"user remove", `unknown command "user remove"`},
		{"serve now", "serve takes no arguments"},
		{"migrate --down", "migrate takes no arguments"},
		{"user add --name A", "needs --name and --email"},
		{"user add --email a@example.com", "needs --name and --email"},
		{"user add --name A --email a@example.com B", `no argument "B"`},
		{"user add --name A --email a@example.com --root", "-root"},
		{"user add --name A --email a@example.com --id 0", "must be a number from 1"},
		{"user add --name A --email a@example.com --id -1", "must be a number from 1"},
		{"user add --name A --email a@example.com --id 042", "must be a number from 1"},
		{"user add --name A --email a@example.com --id 0x10", "must be a number from 1"},
		{"user add --name A --email a@example.com --id 9223372036854775807", "must be a number from 1"},
	} {
		got := execute(t, nil, strings.Fields(row.args)...)
		got.mustFail(t, 2, row.message)
		if !strings.HasPrefix(got.stderr, usage) {
			t.Errorf("%q did not print the usage on stderr", row.args)
		}
	}
}

// All that is wrong with the settings is told at once, a line for each variable.
func TestSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://127.0.0.1:1/census\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		command, environ string
		lines            []string // how each line starts
	}{
		{"migrate", "", []string{"CENSUS_DATABASE_URL: not set"}},
		{"migrate", "CENSUS_DATABASE_URL=", []string{"CENSUS_DATABASE_URL: not set"}},
		{"migrate", "CENSUS_DATABASE_URL=x CENSUS_DATABASE_URL_FILE=" + file, []string{"CENSUS_DATABASE_URL: set, and"}},
		{"migrate", "CENSUS_DATABASE_URL_FILE=/nowhere", []string{"CENSUS_DATABASE_URL_FILE: open /nowhere"}},
		{"user add --name A --email a@example.com", "CENSUS_URL=http://census.service/", []string{
			"CENSUS_DATABASE_URL: not set", "CENSUS_URL: must be an https URL",
		}},
		{"serve", "CENSUS_LOG_LEVEL=loud CENSUS_URL=census CENSUS_KEY_FILE=", []string{
			"CENSUS_TLS_CERT_FILE: not set", "CENSUS_TLS_KEY_FILE: not set", "CENSUS_KEY_FILE: not set",
			"CENSUS_TRUST_FILE: not set", "CENSUS_DATABASE_URL: not set", "CENSUS_URL: must be", "CENSUS_LOG_LEVEL: ",
		}},
	} {
		got := execute(t, strings.Fields(row.environ), strings.Fields(row.command)...)
		got.mustFail(t, 2, "")
		if !slices.EqualFunc(strings.Split(got.err.Error(), "\n"), row.lines, strings.HasPrefix) {
			t.Errorf("%s with %q:\n%v\nwant lines that start with %q", row.command, row.environ, got.err, row.lines)
		}
	}
	// The file was read, and what it names cannot be reached.
	execute(t, []string{"CENSUS_DATABASE_URL_FILE=" + file}, "migrate").mustFail(t, 1, "127.0.0.1:1")
}

// A password does not get into a message.
func TestPasswordIsNotTold(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/x", "postgres://u:hunter2@127.0.0.1:x/x"} {
		for _, args := range [][]string{{"migrate"}, {"user", "add", "--name", "A", "--email", "a@example.com"}} {
			got := execute(t, []string{"CENSUS_DATABASE_URL=" + url}, args...)
			if got.err == nil || strings.Contains(got.err.Error()+got.stderr, "hunter2") {
				t.Errorf("%v with %s: %v", args, url, got.err)
			}
		}
	}
}

func TestUserAdd(t *testing.T) {
	t.Parallel()
	environ := []string{"CENSUS_DATABASE_URL=" + pgtest.New(t, migrations.Up)}
	for _, row := range []struct {
		args    string
		want    string // the URI, or what the error says
		failing int    // the exit code
	}{
		{"--id 42 --name Census --email census.user@example.com", "https://census.service/user/42/", 0},
		{"--name Next --email next@example.com", "https://census.service/user/43/", 0},
		{"--admin --locale de-at --id=21 --name=Admin --email=admin@example.com", "https://census.service/user/21/", 0},
		{"--name Next --email again@example.com", "https://census.service/user/44/", 0},
		{"--id 42 --name Other --email other@example.com", "user ID is taken", 1},
		{"--name Other --email Census.User@EXAMPLE.com", "email address is taken", 1},
		{"--name Other --email other@example", "email must be a mail address", 2},
		{"--name Other --email other@example.com --locale ?", "locale must be", 2},
		{"--name Other\r\n --email <other@example.com>", "email must be", 2},
		{"--name Other --email other@example.com", "https://census.service/user/46/", 0}, // failing takes a number, too,
	} {
		got := execute(t, environ, append([]string{"user", "add"}, strings.Split(row.args, " ")...)...)
		if row.failing != 0 {
			got.mustFail(t, row.failing, row.want)
			if strings.Count(got.err.Error(), "\n") > 0 || got.stderr != "" {
				t.Errorf("%s: more than one line: %v\n%s", row.args, got.err, got.stderr)
			}
			continue
		}
		got.mustSucceed(t)
		if got.stdout != row.want+"\n" {
			t.Errorf("%s: printed %q, want %s", row.args, got.stdout, row.want)
		}
	}
	got := execute(t, append(environ, "CENSUS_URL=https://people.example/"), "user", "add", "--name", "N", "--email", "n@example.com")
	if got.stdout != "https://people.example/user/47/\n" {
		t.Errorf("printed %q (%v)", got.stdout, got.err)
	}
}
