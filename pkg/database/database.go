// Package database connects the services and their commands to PostgreSQL, and classifies
// PostgreSQL's errors.
//
//	config, err := database.Parse(databaseURL)
//	pool, err := config.Open(ctx, config.MaxConns(12))
//	...
//	if database.Unavailable(err) {
//		// a temporary failure of the database: 503
//	}
//
// Connections may go through a pooler such as PgBouncer in session mode; see
// [Config.CheckSessions].
package database

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A Config holds the settings of the connections. [Parse] returns it. It is safe for concurrent
// use.
type Config struct {
	pool     *pgxpool.Config
	maxConns *int32 // pool_max_conns; nil when it is not set
}

// Parse parses a connection string: a URL, or keywords and values. The string may have the
// parameters of pgxpool, such as pool_max_conns. Errors repeat no part of the string, because it
// contains a password, and in a malformed string the password can be anywhere.
func Parse(connString string) (*Config, error) {
	conn, err := pgx.ParseConfig(connString)
	if err != nil {
		return nil, malformed(err)
	}
	if hasExtraAt(connString) || slices.ContainsFunc(hosts(conn), invalidHost) {
		return nil, errors.New("the host cannot be read: in a URL, the characters @ / ? # : and % of a password " +
			"must be percent-encoded")
	}
	config, err := parsePool(conn.RuntimeParams)
	if err != nil {
		return nil, err
	}
	config.pool.ConnConfig = conn
	setAfterConnect(&conn.Config)
	return config, nil
}

// parsePool moves the parameters of the pool from params into a Config.
func parsePool(params map[string]string) (config *Config, err error) {
	config = &Config{}
	settings := []string{"host=localhost"} // stands for the connection parameters, which pgx has parsed
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !strings.HasPrefix(name, "pool_") {
			continue
		}
		value := params[name]
		delete(params, name)
		if name == maxConnsParameter {
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%s must be a whole number", name)
			}
			config.maxConns = new(int32(n))
			continue
		}
		setting := name + "='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
		parsed, err := pgxpool.ParseConfig(settings[0] + " " + setting)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read", name)
		}
		if _, left := parsed.ConnConfig.RuntimeParams[name]; left {
			return nil, errors.New("a parameter that begins with pool_ is not known")
		}
		settings = append(settings, setting)
	}
	if config.pool, err = pgxpool.ParseConfig(strings.Join(settings, " ")); err != nil {
		return nil, fmt.Errorf("preparing database pool: %w", err)
	}
	return config, nil
}

const maxConnsParameter = "pool_max_conns"

// reasons are those parts of pgx's error texts that say what is wrong with a connection string. The
// whole texts must not be shown: they contain the string, and mask its password only if pgx
// recognises it.
var reasons = []string{
	"invalid port", "invalid connect_timeout", "failed to configure TLS", "sslmode is invalid",
	"unknown target_session_attrs value", "failed to read service", "failed to parse as URL",
}

func malformed(err error) error {
	const forms = "must be a URL such as postgres://user:password@host:5432/database, or keywords and values such as " +
		"host=localhost user=census password='a b' dbname=census"
	for _, reason := range reasons {
		if strings.Contains(err.Error(), ": "+reason) {
			return fmt.Errorf("%s: %s", reason, forms)
		}
	}
	return errors.New(forms)
}

// hasExtraAt reports whether a URL has a second @, or an @ after its authority. Such an @ is part
// of a password whose rest would be read as the host, the database or a parameter.
func hasExtraAt(connString string) bool {
	_, rest, isURL := strings.Cut(connString, "://")
	if !isURL || !strings.HasPrefix(connString, "postgres") {
		return false
	}
	if end := strings.IndexAny(rest, "@/"); end >= 0 && rest[end] == '@' {
		rest = rest[end+1:]
	}
	return strings.Contains(rest, "@")
}

func hosts(conn *pgx.ConnConfig) []string {
	all := []string{conn.Host}
	for _, fallback := range conn.Fallbacks {
		all = append(all, fallback.Host)
	}
	return all
}

var hostPattern = regexp.MustCompile(`^(/[^\s=]*|[\pL\pN._-]+|[0-9A-Fa-f:.]+(%[\w.-]+)?)$`)

func invalidHost(host string) bool { return !hostPattern.MatchString(host) }

// startupParameters are the parameters that every pooler accepts when a connection starts.
var startupParameters = []string{
	"application_name", "client_encoding", "datestyle", "timezone", "options", "replication",
}

// setAfterConnect moves the other session parameters into a statement that is run after connecting.
// Poolers reject a connection that starts with a parameter unknown to them.
func setAfterConnect(config *pgconn.Config) {
	params := maps.Clone(config.RuntimeParams)
	maps.DeleteFunc(params, func(name, _ string) bool { return slices.Contains(startupParameters, strings.ToLower(name)) })
	if len(params) == 0 {
		return
	}
	for name := range params {
		delete(config.RuntimeParams, name)
	}
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error { return setParameters(ctx, conn, params) }
}

func setParameters(ctx context.Context, conn *pgconn.PgConn, params map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		values := [][]byte{[]byte(name), []byte(params[name])}
		_, err := conn.ExecParams(ctx, `select set_config($1, $2, false)`, values, nil, nil, nil).Close()
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && !unavailableState(pgErr) {
			return fmt.Errorf("the server does not accept a parameter of the connection string (SQLSTATE %s)", pgErr.Code)
		}
		if err != nil {
			return fmt.Errorf("setting a session parameter: %w", err)
		}
	}
	return nil
}

// MaxConns returns pool_max_conns, or defaultConns when it is not set.
func (c *Config) MaxConns(defaultConns int32) int32 {
	if c.maxConns == nil {
		return defaultConns
	}
	return *c.maxConns
}

// CheckMaxConns returns an error when pool_max_conns is set and less than least.
func (c *Config) CheckMaxConns(least int32) error {
	if c.maxConns != nil && *c.maxConns < least {
		return fmt.Errorf("%s is %d, and the smallest that works is %d", maxConnsParameter, *c.maxConns, least)
	}
	return nil
}

// Open returns a pool of at most maxConns connections. It does not wait until the database accepts
// connections.
func (c *Config) Open(ctx context.Context, maxConns int32) (*pgxpool.Pool, error) {
	config := c.pool.Copy()
	config.MaxConns = maxConns
	config.MinConns = min(config.MinConns, maxConns)
	config.MinIdleConns = min(config.MinIdleConns, maxConns)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("preparing database pool: %w", err)
	}
	return pool, nil
}

// Conn returns a copy of the settings of a single connection.
func (c *Config) Conn() *pgx.ConnConfig { return c.pool.ConnConfig.Copy() }
