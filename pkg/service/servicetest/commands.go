package servicetest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/service"
)

// WrongArguments are arguments, separated by spaces, and what the error says.
type WrongArguments struct{ Args, Message string }

func (s Service) testUsage(t *testing.T) {
	usage := service.Usage(s.Define())
	for _, args := range []string{"help", "--help", "-h", "-help"} {
		got := Execute(t, s.Define, nil, args)
		got.MustSucceed(t)
		if got.Stdout != usage {
			t.Errorf("%v printed %q", args, got.Stdout)
		}
	}
	for _, row := range append([]WrongArguments{
		{"", "no command"},
		{"sevre", `unknown command "sevre"`},
		{"--verbose", `unknown command "--verbose"`},
		{"serve now", "serve takes no arguments"},
		{"serve --listen :443", "serve takes no arguments"},
		{"migrate --down", "migrate takes no arguments"},
		{"healthcheck x", "healthcheck takes no arguments"},
		{"help serve", "help takes no arguments"},
	}, s.Usage...) {
		got := Execute(t, s.Define, nil, strings.Fields(row.Args)...)
		got.MustFail(t, 2, row.Message)
		if !strings.HasPrefix(got.Stderr, usage) {
			t.Errorf("%q did not print the usage on stderr", row.Args)
		}
	}
}

// The README has the table of the settings that the code has.
func (s Service) testReadme(t *testing.T) {
	readme, err := os.ReadFile(s.Readme)
	if err != nil {
		t.Fatal(err)
	}
	if table := service.Markdown(s.Define()); !strings.Contains(string(readme), "\n\n"+table) {
		t.Errorf("%s lacks this table of the settings:\n%s", s.Readme, table)
	}
}

// Faults are wrong settings of a command, and how each line of its error begins. Command and
// Environ are separated by spaces.
type Faults struct {
	Command, Environ string
	Lines            []string
}

// All faults of the settings are reported at once, one line for each variable.
func (s Service) testSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://127.0.0.1:1/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	name := s.variable("DATABASE_URL")
	for _, row := range append([]Faults{
		{"migrate", "", []string{name + ": not set"}},
		{"migrate", name + "=", []string{name + ": not set"}},
		{"migrate", name + "=x " + name + "_FILE=" + file, []string{name + ": set, and"}},
		{"migrate", name + "_FILE=/nowhere", []string{name + "_FILE: open /nowhere"}},
	}, s.Faults...) {
		got := Execute(t, s.Define, strings.Fields(row.Environ), strings.Fields(row.Command)...)
		got.MustFail(t, 2, "")
		if !slices.EqualFunc(strings.Split(got.Err.Error(), "\n"), row.Lines, strings.HasPrefix) {
			t.Errorf("%s with %q:\n%v\nwant lines that start with %q", row.Command, row.Environ, got.Err, row.Lines)
		}
	}
	// The file was read, and the database that it names cannot be reached.
	Execute(t, s.Define, []string{name + "_FILE=" + file}, "migrate").MustFail(t, 1, "127.0.0.1:1")
}

// databaseCommands returns the commands beside serve that need the database.
func (s Service) databaseCommands() [][]string {
	commands := [][]string{{"migrate"}}
	if s.Command != nil {
		commands = append(commands, s.Command(0))
	}
	return commands
}

// concurrentRuns is how many commands a test runs at once.
const concurrentRuns = 8

// A malformed setting that may hold a secret is reported in one line, which names the setting and
// leaves out the value.
func (s Service) testSecrets(t *testing.T) {
	w := s.NewWorld(t, "")
	var group errgroup.Group // most of the time is spent waiting
	defer func() { _ = group.Wait() }()
	group.SetLimit(concurrentRuns)
	want := func(environ, args []string) {
		group.Go(func() error { s.wantSecret(t, environ, args); return nil })
	}
	for _, value := range pgtest.MalformedSettings("hunter2") {
		for _, args := range append(s.databaseCommands(), []string{"serve"}) {
			for _, setting := range []string{"DATABASE_URL=", "DATABASE_URL_FILE="} {
				want(w.With(setting+value), args)
			}
		}
	}
	const key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"
	w.Set("DATABASE_URL", "postgres://127.0.0.1:1/x")
	for _, setting := range append([]string{"KEY_FILE=" + key, "TLS_KEY_FILE=" + key}, s.Secrets...) {
		want(w.With(setting), []string{"serve"})
	}
}

// wantSecret runs a command for at most 150 ms. It fails the test if the command prints the secret
// or more than one line.
func (s Service) wantSecret(t *testing.T, environ, args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	var stdout, stderr strings.Builder
	err := service.Run(ctx, s.Define(), args, environ, &stdout, &stderr)
	printed := stdout.String() + stderr.String()
	if err != nil {
		printed += err.Error()
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%v with %q: several lines: %v", args, environ[len(environ)-1], err)
		}
	}
	if strings.Contains(printed, "hunter2") {
		t.Errorf("%v with %q: %s", args, environ[len(environ)-1], printed)
	}
	if args[0] != "serve" && err == nil {
		t.Errorf("%v with %q: no error", args, environ[len(environ)-1])
	}
}

// A password does not get into a message.
func (s Service) testPassword(t *testing.T) {
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/x", "postgres://u:hunter2@127.0.0.1:x/x"} {
		for _, args := range s.databaseCommands() {
			got := Execute(t, s.Define, []string{s.variable("DATABASE_URL") + "=" + url}, args...)
			if got.Err == nil || strings.Contains(got.Err.Error()+got.Stderr, "hunter2") {
				t.Errorf("%v with %s: %v", args, url, got.Err)
			}
		}
	}
}
