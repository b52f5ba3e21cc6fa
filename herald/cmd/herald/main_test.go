package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/command"
	"example.com/micromachine/pkg/pgtest"
)

// mainVariable has the test program be the service, with its settings and its first argument "serve".
const mainVariable = "HERALD_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		os.Exit(command.Main("herald", run))
	}
	pgtest.Main(m)
}

// result is what a command did.
type result struct {
	stdout, stderr string
	err            error
}

// execute runs a command whose whole environment is environ.
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
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}, {"-help"}} {
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
		{"serve now", "serve takes no arguments"},
		{"serve --listen :443", "serve takes no arguments"},
		{"migrate --down", "migrate takes no arguments"},
		{"healthcheck x", "healthcheck takes no arguments"},
		{"help serve", "help takes no arguments"},
	} {
		got := execute(t, nil, strings.Fields(row.args)...)
		got.mustFail(t, 2, row.message)
		if !strings.HasPrefix(got.stderr, usage) {
			t.Errorf("%q did not print the usage on stderr", row.args)
		}
	}
}

// The usage tells of every setting.
func TestUsageNamesEachSetting(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("settings.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range strings.Split(string(source), `env:"HERALD_`)[1:] {
		name := "HERALD_" + after[:strings.IndexAny(after, `",`)]
		if !strings.Contains(usage, strings.TrimSuffix(name, "_FILE")) {
			t.Errorf("the usage does not name %s", name)
		}
	}
}

// All that is wrong with the settings is told at once, a line for each variable.
func TestSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://127.0.0.1:1/herald\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	required := []string{
		"HERALD_SMTP_ADDR: not set", "HERALD_MAIL_FROM: not set", "HERALD_TLS_CERT_FILE: not set", "HERALD_TLS_KEY_FILE: not set",
		"HERALD_KEY_FILE: not set", "HERALD_TRUST_FILE: not set", "HERALD_DATABASE_URL: not set",
	}
	for _, row := range []struct {
		command, environ string
		lines            []string // how each line starts
	}{
		{"migrate", "", []string{"HERALD_DATABASE_URL: not set"}},
		{"migrate", "HERALD_DATABASE_URL=", []string{"HERALD_DATABASE_URL: not set"}},
		{"migrate", "HERALD_DATABASE_URL=x HERALD_DATABASE_URL_FILE=" + file, []string{"HERALD_DATABASE_URL: set, and"}},
		{"migrate", "HERALD_DATABASE_URL_FILE=/nowhere", []string{"HERALD_DATABASE_URL_FILE: open /nowhere"}},
		{"serve", "", required},
		{"serve", "HERALD_LOG_LEVEL=loud HERALD_URL=herald HERALD_CENSUS_URL=http://census.service/", append(slices.Clip(required),
			"HERALD_URL: must be", "HERALD_CENSUS_URL: must be", "HERALD_LOG_LEVEL: ")},
		{"serve", "HERALD_SMTP_ADDR=mail HERALD_MAIL_FROM=Herald HERALD_SMTP_TLS=maybe HERALD_SMTP_USERNAME=herald", slices.Concat(required[2:], []string{
			"HERALD_SMTP_USERNAME, HERALD_SMTP_PASSWORD: ", "HERALD_SMTP_ADDR: must be", "HERALD_SMTP_TLS: must be", "HERALD_MAIL_FROM: must be",
		})},
		{
			"serve", "HERALD_SMTP_ADDR=mail:25 HERALD_MAIL_FROM=herald@example.com HERALD_SMTP_PASSWORD=x HERALD_SMTP_PASSWORD_FILE=" + file,
			slices.Concat(required[2:], []string{"HERALD_SMTP_PASSWORD: set, and"}),
		},
	} {
		got := execute(t, strings.Fields(row.environ), strings.Fields(row.command)...)
		got.mustFail(t, 2, "")
		if !slices.EqualFunc(strings.Split(got.err.Error(), "\n"), row.lines, strings.HasPrefix) {
			t.Errorf("%s with %q:\n%v\nwant lines that start with %q", row.command, row.environ, got.err, row.lines)
		}
	}
	// The file was read, and what it names cannot be reached.
	execute(t, []string{"HERALD_DATABASE_URL_FILE=" + file}, "migrate").mustFail(t, 1, "127.0.0.1:1")
}

func TestServiceHost(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"https://herald.service/": "herald.service", "https://herald.service:8443/": "herald.service",
		"https://192.0.2.1/": "192.0.2.1", "https://[::1]:8443/": "::1",
	} {
		if host, err := serviceHost(name); err != nil || host != want {
			t.Errorf("%s: %q, %v", name, host, err)
		}
	}
	for _, name := range []string{
		"", "herald.service", "http://herald.service/", "https://herald.service", "https://Herald.service/", "https://herald.service:/",
		"https:///", "https://a@herald.service/", "https://herald.service/?a", "https://herald.service/#a", "https://herald.service/a/",
	} {
		if host, err := serviceHost(name); err == nil {
			t.Errorf("%s: %q", name, host)
		}
	}
}

// A password does not get into a message.
func TestPasswordIsNotTold(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/x", "postgres://u:hunter2@127.0.0.1:x/x"} {
		got := execute(t, []string{"HERALD_DATABASE_URL=" + url}, "migrate")
		if got.err == nil || strings.Contains(got.err.Error()+got.stderr, "hunter2") {
			t.Errorf("with %s: %v", url, got.err)
		}
	}
}
