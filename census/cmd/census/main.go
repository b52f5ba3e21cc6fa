// Command census runs Census, the service that knows the users, and looks after
// its database.
//
//	census migrate
//	census user add --admin --name "The Office" --email office@example.com
//	census serve
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/command"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpserve"
)

const usage = `Usage: census COMMAND

Commands:
  serve         run the service until SIGTERM or an interrupt
  migrate       bring the database up to date
  user add      make a user, straight in the database, and print the URI
                  --name NAME      required
                  --email ADDRESS  required
                  --locale TAG     a language, such as de-AT (default en)
                  --admin          may manage all users
                  --id N           with this ID
  healthcheck   ask the service on this machine whether it is ready
  help          print this

Settings are taken from the environment; a secret NAME also from the file NAME_FILE.
  CENSUS_DATABASE_URL   serve, migrate, user add; secret, required; pool_max_conns in it
                        is 16 by default and 2 at least
  CENSUS_URL            serve, user add; the service's own name (default https://census.service/)
  CENSUS_ADMIN_LISTEN   serve, healthcheck; address for /healthz, /readyz, /metrics and /debug/pprof/ (default 127.0.0.1:9443)
and, for serve alone,
  CENSUS_LISTEN         address for the API (default :8443)
  CENSUS_TLS_CERT_FILE, CENSUS_TLS_KEY_FILE
                        certificate chain and key in PEM; required
  CENSUS_KEY_FILE       the key that Census signs with, in PEM, or a directory of
                        "svcauth rotate"; required
  CENSUS_TRUST_FILE     whose calls are accepted, and which; required
  CENSUS_CA_FILE        certificate authorities to trust beside the system's, in PEM
  CENSUS_CONNECT_TO     where to find other services, as curl's --connect-to; separated by commas
  CENSUS_LOG_LEVEL      debug, info, warn or error (default info)

Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
`

func main() { os.Exit(command.Main("census", run)) }

// run does what the arguments say and returns when it is done.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	name, args := cut(args)
	if name == "user" {
		sub, rest := cut(args)
		name, args = "user "+sub, rest
	}
	if name == "user add" {
		return addUser(ctx, args, environ, stdout, stderr)
	}
	if len(args) > 0 {
		return wrongUsage(stderr, fmt.Errorf("%s takes no arguments", name))
	}
	switch name {
	case "serve":
		return serve(ctx, environ, stderr)
	case "migrate":
		return migrate(ctx, environ)
	case "healthcheck":
		return healthcheck(ctx, environ)
	case "help", "-h", "-help", "--help":
		_, err := io.WriteString(stdout, usage)
		return err
	case "":
		return wrongUsage(stderr, errors.New("no command"))
	}
	return wrongUsage(stderr, fmt.Errorf("unknown command %q", strings.TrimSpace(name)))
}

// cut takes the first of the arguments, or "" when there is none.
func cut(args []string) (first string, rest []string) {
	if len(args) == 0 {
		return "", nil
	}
	return args[0], args[1:]
}

func wrongUsage(stderr io.Writer, err error) error {
	_, _ = io.WriteString(stderr, usage+"\n") // the error itself is told by main
	return command.Misuse(err)
}

func migrate(ctx context.Context, environ []string) error {
	settings, err := command.Settings[databaseSettings](environ)
	if err != nil {
		return err
	}
	return explain(migrations.Up(ctx, settings.URL))
}

// explain returns an error of the database for whoever runs a command.
func explain(err error) error {
	if errors.Is(err, database.ErrTransactionPooling) {
		return command.Misuse(inDatabaseURL(err))
	}
	return database.Explain(err)
}

func healthcheck(ctx context.Context, environ []string) error {
	settings, err := command.Settings[adminSettings](environ)
	if err != nil {
		return err
	}
	return httpserve.Healthcheck(ctx, settings.Listen)
}
