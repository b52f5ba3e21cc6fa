package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A Server is a PostgreSQL server on which tests create databases. It is safe for concurrent use.
type Server struct {
	// URL is the URL of the server's maintenance database.
	URL string

	stop func() error
	logf func(format string, args ...any)

	mu    sync.Mutex
	conns *pgxpool.Pool // for statements about databases; nil before the first one and after Stop
}

// maxConns is the largest number of connections of a Server.
const maxConns = 4

// TempName returns a new random name for a temporary database: "mm_", what, "_" and random
// characters.
func TempName(what string) string {
	return "mm_" + what + "_" + strings.ToLower(rand.Text()[:12])
}

// CreateDatabase creates an empty database and returns its URL.
func (s *Server) CreateDatabase(ctx context.Context, name string) (string, error) {
	return s.create(ctx, name, "template1")
}

// create does not stop when ctx ends, because the server would still create the database, and no
// one would drop it.
func (s *Server) create(ctx context.Context, name, template string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("creating database %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	strategy, err := s.copyStrategy(ctx)
	if err == nil {
		err = s.exec(ctx, "create database "+quote(name)+" template "+quote(template)+" strategy "+strategy)
	}
	if err != nil {
		return "", fmt.Errorf("creating database %s: %w", name, err)
	}
	return s.databaseURL(name)
}

// DropDatabase drops a database and closes the connections to it. It returns nil when the database
// does not exist.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	if err := s.exec(ctx, "drop database if exists "+quote(name)+" with (force)"); err != nil {
		return fmt.Errorf("dropping database %s: %w", name, err)
	}
	return nil
}

// Stop stops a server that [Find] started and removes its data. It does nothing to the server of
// DATABASE_URL.
func (s *Server) Stop() {
	s.closeConns()
	if err := s.stop(); err != nil {
		s.logf("stopping PostgreSQL: %v", err)
	}
}

func (s *Server) databaseURL(name string) (string, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", fmt.Errorf("parsing database URL: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

func (s *Server) exec(ctx context.Context, sql string) error {
	conns, err := s.connections(ctx)
	if err != nil {
		return err
	}
	_, err = conns.Exec(ctx, sql)
	return err
}

// copyStrategy returns the fastest strategy of CREATE DATABASE. Copying the files is faster than
// writing their pages to the log, unless the server syncs them to disk.
func (s *Server) copyStrategy(ctx context.Context) (strategy string, err error) {
	conns, err := s.connections(ctx)
	if err != nil {
		return "", err
	}
	err = conns.QueryRow(ctx, `
		select case current_setting('fsync') when 'off' then 'file_copy' else 'wal_log' end`).Scan(&strategy)
	return strategy, err
}

// connections returns the connections for statements about databases. They are kept open, because a
// new one is expensive.
func (s *Server) connections(ctx context.Context) (*pgxpool.Pool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns != nil {
		return s.conns, nil
	}
	config, err := pgxpool.ParseConfig(s.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = maxConns
	s.conns, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	return s.conns, err
}

func (s *Server) closeConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns != nil {
		s.conns.Close()
		s.conns = nil
	}
}

func withConn(ctx context.Context, databaseURL string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// durableVariable makes a started server sync commits to disk, as in production. It is for
// measurements.
const durableVariable = "PGTEST_DURABLE"

func durable() bool { return os.Getenv(durableVariable) != "" }

// settings returns the settings of a started server. Temporary databases need no durability, so by
// default they trade it for speed.
func settings() []string {
	all := []string{"max_connections=1000", "max_wal_size=2GB", "timezone=UTC"}
	if durable() {
		return all
	}
	return append(all, "fsync=off", "full_page_writes=off")
}

// flags returns the settings as arguments of postgres.
func flags(settings []string) []string {
	var args []string
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

// serverURL returns the URL of a started server's maintenance database.
func serverURL(host string, port int, password string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", password),
		Host: net.JoinHostPort(host, strconv.Itoa(port)), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// ready polls a starting server at one or more possible addresses and returns the first URL that
// accepts connections. It returns an error when ctx ends or exited is closed. The random password
// excludes other servers.
func ready(ctx context.Context, exited <-chan struct{}, urls ...string) (string, error) {
	for {
		var err error
		for _, u := range urls {
			if err = ping(ctx, u); err == nil {
				return u, nil
			}
		}
		select {
		case <-exited:
			return "", errors.New("the server ended")
		case <-ctx.Done():
			return "", fmt.Errorf("the server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ping(ctx context.Context, databaseURL string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return withConn(ctx, databaseURL, func(conn *pgx.Conn) error { return conn.Ping(ctx) })
}
