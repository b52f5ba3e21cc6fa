package main

import (
	"strings"
	"testing"

	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/service"
)

// The help of a command is the usage.
func TestUserAddHelp(t *testing.T) {
	t.Parallel()
	got := execute(t, nil, "user", "add", "--help")
	got.MustSucceed(t)
	if got.Stdout != service.Usage(definition()) {
		t.Errorf("printed %q", got.Stdout)
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
			got.MustFail(t, row.failing, row.want)
			if strings.Count(got.Err.Error(), "\n") > 0 || got.Stderr != "" {
				t.Errorf("%s: more than one line: %v\n%s", row.args, got.Err, got.Stderr)
			}
			continue
		}
		got.MustSucceed(t)
		if got.Stdout != row.want+"\n" {
			t.Errorf("%s: printed %q, want %s", row.args, got.Stdout, row.want)
		}
	}
	got := execute(t, append(environ, "CENSUS_URL=https://people.example/"), "user", "add", "--name", "N", "--email", "n@example.com")
	if got.Stdout != "https://people.example/user/47/\n" {
		t.Errorf("printed %q (%v)", got.Stdout, got.Err)
	}
}
