package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/service"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	failure := errors.New("failure")
	for _, row := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{failure, 1},
		{service.Misuse(nil), 0},
		{service.Misuse(failure), 2},
		{fmt.Errorf("starting: %w", service.Misuse(failure)), 2},
	} {
		if got := service.ExitCode(row.err); got != row.want {
			t.Errorf("%v: exit code %d, want %d", row.err, got, row.want)
		}
	}
	if !errors.Is(service.Misuse(failure), failure) {
		t.Error("a misuse hides its cause")
	}
}

// settings are the own settings of the service of these tests.
type settings struct {
	Name  string         `env:"NAME,notEmpty" help:"a name"`
	Count int            `env:"COUNT" envDefault:"3" help:"a number"`
	Token service.Secret `env:"TOKEN" help:"a token"`
}

// definition returns a service x with two commands of its own.
func definition(own *settings) service.Definition {
	var color string
	return service.Definition{
		Name: "x", AdminListen: "127.0.0.1:9999", Conns: service.Conns{Default: 16, Least: 2}, Settings: own,
		Commands: []service.Command{
			{
				Name: "show url", Help: "print the URL", Settings: []string{"URL"},
				Run: func(_ context.Context, rt *service.Runtime) error {
					_, err := fmt.Fprintln(rt.Stdout, rt.Settings.URL)
					return err
				},
			},
			{
				Name: "show color", Help: "print a color", Required: []string{"color"},
				Flags: func(flags *flag.FlagSet) { flags.StringVar(&color, "color", "", "the `COLOR`") },
				Run: func(_ context.Context, rt *service.Runtime) error {
					_, err := fmt.Fprintln(rt.Stdout, color)
					return err
				},
			},
		},
	}
}

// required are the variables that every service needs.
var required = []string{
	"X_DATABASE_URL=postgres://127.0.0.1:1/x", "X_KEY_FILE=key.pem", "X_TRUST_FILE=trust.yaml",
	"X_TLS_CERT_FILE=cert.pem", "X_TLS_KEY_FILE=cert-key.pem",
}

func TestSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(" secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var own settings
	rt, err := service.ReadSettings(definition(&own), append(required, "X_NAME=a=b", "X_TOKEN_FILE="+file, "OTHER=1", "X_LISTEN="))
	if err != nil {
		t.Fatal(err)
	}
	if want := (settings{Name: "a=b", Count: 3, Token: "secret"}); own != want {
		t.Errorf("got %+v, want %+v", own, want)
	}
	if s := rt.Settings; s.Listen != ":8443" || s.URL != "https://x.service/" || s.AdminListen != "127.0.0.1:9999" || s.KeyFile != "key.pem" {
		t.Errorf("got %+v", s)
	}
	asJSON, err := json.Marshal([]any{own, rt.Settings})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(own, rt.Settings) + string(asJSON); strings.Contains(text, "127.0.0.1:1") || strings.Count(text, "(secret)") != 4 {
		t.Errorf("a secret is printed: %s", text)
	}
}

func TestSettingsNameAllFaults(t *testing.T) {
	t.Parallel()
	_, err := service.ReadSettings(definition(&settings{}),
		append(required, "X_NAME=", "X_COUNT=hunter2", "X_TOKEN=a", "X_TOKEN_FILE=b", "X_URL=x", "X_KEY_FILE=-----BEGIN", "X_LOG_LEVEL=loud"))
	const want = `X_NAME: not set
X_COUNT: cannot be read as int
X_TOKEN: set, and X_TOKEN_FILE too
X_URL: must be an https URL of a host and a slash, such as https://herald.service/
X_KEY_FILE: must be the name of a file, and not what is in it
X_LOG_LEVEL: slog: level string "loud": unknown name`
	if err == nil || err.Error() != want || service.ExitCode(err) != 2 {
		t.Errorf("got exit code %d, %v, want 2, %s", service.ExitCode(err), err, want)
	}
	_, err = service.ReadSettings(definition(&settings{}), append(required, "X_NAME=a", "X_TOKEN_FILE=/nonexistent/token"))
	if service.ExitCode(err) != 2 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// run runs a command and returns what it has printed on stdout.
func run(t *testing.T, environ []string, args ...string) (string, error) {
	t.Helper()
	var stdout strings.Builder
	err := service.Run(t.Context(), definition(&settings{}), args, environ, &stdout, io.Discard)
	return stdout.String(), err
}

// A command reads the settings that it names, and no others.
func TestCommands(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ environ, args, printed, failure string }{
		{"", "show url", "https://x.service/\n", ""},
		{"X_URL=https://y.service/ X_DATABASE_URL=malformed X_COUNT=many", "show url", "https://y.service/\n", ""},
		{"X_URL=y", "show url", "", "X_URL: must be"},
		{"X_URL=y", "show color --color=red", "red\n", ""},
		{"", "show color", "", "show color needs --color"},
		{"", "show color --color red now", "", `show color takes no argument "now"`},
		{"", "show color --help", service.Usage(definition(&settings{})), ""},
		{"", "show url now", "", "show url takes no arguments"},
		{"", "show", "", `unknown command "show"`},
		{"", "show me", "", `unknown command "show me"`},
		{"", "healthcheck", "", "asking for readiness"},
	} {
		got, err := run(t, strings.Fields(row.environ), strings.Fields(row.args)...)
		if got != row.printed || (err == nil) != (row.failure == "") || err != nil && !strings.HasPrefix(err.Error(), row.failure) {
			t.Errorf("%s: printed %q, %v", row.args, got, err)
		}
	}
}

// The usage and the README's table show each variable with all that its field says.
func TestUsage(t *testing.T) {
	t.Parallel()
	usage := service.Usage(definition(&settings{}))
	for _, want := range []string{
		"\n  show color    print a color\n                  --color COLOR    the COLOR; required\n",
		"\n  X_DATABASE_URL          serve, migrate; secret; PostgreSQL 15 or later, also through PgBouncer in\n" +
			"                          session mode (pool_max_conns: default 16, minimum 2); required\n",
		"\n  X_URL                   serve, show url; the service's own name (default https://x.service/)\n",
		"\n  X_ADMIN_LISTEN          serve, healthcheck; address for",
		"\nand, for serve alone,\n  X_LISTEN                address for the API (default :8443)\n",
		"\n  X_NAME                  a name; required\n  X_COUNT                 a number (default 3)\n  X_TOKEN                 secret; a token\n",
	} {
		if !strings.Contains(usage, want) {
			t.Errorf("the usage lacks %q:\n%s", want, usage)
		}
	}
	for line := range strings.Lines(usage) {
		if len(line) > 101 {
			t.Errorf("a line of %d characters: %s", len(line), line)
		}
	}
	table := service.Markdown(definition(&settings{}))
	for _, want := range []string{
		"\n| `X_URL` | the service's own name | `https://x.service/` |\n",
		"\n| `X_KEY_FILE` | key that signs: PKCS #8 in PEM, or a directory made by svcauth rotate | required |\n",
		"\n| `X_COUNT` | a number | `3` |\n",
		"\n| `X_TOKEN` or `X_TOKEN_FILE` | a token |  |\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"https://herald.service/": "herald.service", "https://herald.service:8443/": "herald.service",
		"https://192.0.2.1/": "192.0.2.1", "https://[::1]:8443/": "::1", "https://[2001:db8::1]/": "2001:db8::1",
	} {
		if host, err := service.Host(name); err != nil || host != want {
			t.Errorf("%s: %q, %v", name, host, err)
		}
	}
	for _, name := range []string{
		"", "herald.service", "http://herald.service/", "https://herald.service", "https://Herald.service/", "https://herald.service:/",
		"https:///", "https://a@herald.service/", "https://user:pw@herald.service/", "https://herald.service/?a", "https://herald.service/?",
		"https://herald.service/?a=b", "https://herald.service/#a", "https://herald.service/a/", "https://:8443/", "https://herald.service\n/",
		"https://herald.service/%2e%2e/", "https://herald.service//", "https://herald.service/\\evil.test",
	} {
		if host, err := service.Host(name); err == nil {
			t.Errorf("%s: %q", name, host)
		}
	}
}

func TestVariable(t *testing.T) {
	t.Parallel()
	d := service.Definition{Name: "new-ledger"}
	if got := d.Variable("URL"); got != "NEW_LEDGER_URL" {
		t.Errorf("got %s", got)
	}
}
