package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// minVersion is the lowest supported major version of PostgreSQL.
const minVersion = 15

// requireVariable restricts the search to one of the methods that start a server.
const requireVariable = "PGTEST_REQUIRE"

// downloadMethod is the last method of the search.
const downloadMethod = "download"

// errNoServer is returned when no method finds a server.
var errNoServer = errors.New(`no PostgreSQL found: set DATABASE_URL, start Docker, or install it:
  Debian, Ubuntu  sudo apt-get install postgresql
  Fedora          sudo dnf install postgresql-server
  macOS           brew install postgresql@17`)

// Find returns the first available server: that of DATABASE_URL, a Docker container, the installed
// programs, or downloaded ones. The package's documentation describes them and the settings.
//
// Find logs with logf which server it uses and why it skipped others. If there is none, the error
// says how to install one, and why the download failed. The caller must stop the server.
func Find(ctx context.Context, logf func(format string, args ...any)) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("searching PostgreSQL: %w", err)
	}
	if databaseURL := os.Getenv("DATABASE_URL"); databaseURL != "" {
		if err := checkServer(ctx, databaseURL); err != nil {
			return nil, fmt.Errorf("using DATABASE_URL: %w", err)
		}
		logf("PostgreSQL: the server of DATABASE_URL")
		return &Server{URL: databaseURL, stop: func() error { return nil }, logf: logf}, nil
	}
	logf("DATABASE_URL: not set")
	for _, place := range []struct {
		name  string
		start func(context.Context, func(string, ...any)) (*Server, error)
	}{{"Docker", startContainer}, {"installed programs", startInstalled}, {downloadMethod, startDownloaded}} {
		if required := os.Getenv(requireVariable); required != "" && !strings.EqualFold(required, place.name) {
			logf("%s: passed over, %s=%s", place.name, requireVariable, required)
			continue
		}
		server, err := place.start(ctx, logf)
		if err == nil {
			server.logf = logf
			return server, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("searching PostgreSQL: %w", ctx.Err())
		}
		if place.name == downloadMethod {
			return nil, fmt.Errorf("%w\n%s: %w", errNoServer, place.name, err)
		}
		logf("%s: %v", place.name, err)
	}
	return nil, errNoServer
}

// checkServer returns an error when a server cannot be used.
func checkServer(ctx context.Context, databaseURL string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if !strings.HasPrefix(databaseURL, "postgres://") && !strings.HasPrefix(databaseURL, "postgresql://") {
		return errors.New("it is not a postgres:// URL")
	}
	return withConn(ctx, databaseURL, func(conn *pgx.Conn) error {
		var version int
		var mayCreate bool
		err := conn.QueryRow(ctx, `
			select current_setting('server_version_num')::int / 10000, rolcreatedb or rolsuper
			from pg_roles where rolname = current_user`).Scan(&version, &mayCreate)
		switch {
		case err != nil:
			return fmt.Errorf("asking for the version: %w", err)
		case version < minVersion:
			return fmt.Errorf("the server is PostgreSQL %d, needed is %d or later", version, minVersion)
		case !mayCreate:
			return errors.New("its user may not create databases (alter role … createdb)")
		}
		return nil
	})
}
