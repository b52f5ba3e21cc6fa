// Package chains starts the compared chains: the built Census and Herald, and the plain chain in
// two variants. Each chain has its own processes and databases. They share the PostgreSQL server
// and the mail server.
package chains

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth/bench/internal/proc"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
)

// A Site has the resources that all sides share.
type Site struct {
	Server *pgtest.Server
	BinDir string // the directory of the built programs
	Dir    string // the directory for keys and logs
	Users  int    // the number of users of each Census; their IDs start at 1
	// TunedPool is the size of the database pools of the tuned chain. Zero: the default of pgx,
	// which the naive chain uses.
	TunedPool int
}

// A Side is a running chain.
type Side struct {
	Name           string
	Target         traffic.Target // for POSTs to its Herald
	Herald, Census *proc.Process
	CensusAddr     string
	// HeraldDatabase and CensusDatabase are the names of the databases.
	HeraldDatabase, CensusDatabase string
	HeraldURL, CensusURL           string // of the databases

	dir     string
	closers []func() error
}

// begin creates a side with its directory and empty databases.
func (s *Site) begin(ctx context.Context, name string) (*Side, error) {
	side := &Side{Name: name}
	var err error
	if side.dir, err = os.MkdirTemp(s.Dir, name+"-"); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	for _, d := range []struct {
		what      string
		name, url *string
	}{
		{"census", &side.CensusDatabase, &side.CensusURL},
		{"herald", &side.HeraldDatabase, &side.HeraldURL},
	} {
		*d.name = pgtest.TempName("bench_" + d.what)
		if *d.url, err = s.Server.CreateDatabase(ctx, *d.name); err != nil {
			return nil, errors.Join(err, side.Close())
		}
		side.onClose(func() error { return s.Server.DropDatabase(context.Background(), *d.name) })
	}
	return side, nil
}

// Close stops the side's processes and drops its databases.
func (s *Side) Close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// Kill kills the side's processes and drops its databases.
func (s *Side) Kill() error {
	s.Herald.Kill()
	s.Census.Kill()
	return s.Close()
}

// Notifications returns how many notifications are stored.
func (s *Side) Notifications(ctx context.Context) (count int, err error) {
	conn, err := pgx.Connect(ctx, s.HeraldURL)
	if err != nil {
		return 0, fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := conn.QueryRow(ctx, `select count(*) from notifications`).Scan(&count); err != nil {
		return 0, fmt.Errorf("counting notifications: %w", err)
	}
	return count, nil
}

func (s *Side) onClose(f func() error) { s.closers = append(s.closers, f) }

// start starts one of the side's processes.
func (s *Side) start(ctx context.Context, name string, c proc.Command) (*proc.Process, error) {
	c.LogFile = filepath.Join(s.dir, name+".log")
	p, err := proc.Start(ctx, c)
	if err == nil {
		s.onClose(p.Stop)
	}
	return p, err
}

// addUsers adds users to Census's table.
func (s *Side) addUsers(ctx context.Context, count int) error {
	return onDatabase(ctx, s.CensusURL, `
		insert into users (id, name, email, locale)
		select n, 'User ' || n, 'user' || n || '@example.com', 'en' from generate_series(1, `+fmt.Sprint(count)+`) n`,
		`vacuum analyze users`)
}

// MakeAdmin makes a user an administrator.
func (s *Side) MakeAdmin(ctx context.Context, user int) error {
	return onDatabase(ctx, s.CensusURL, fmt.Sprintf(`update users set admin = true where id = %d`, user))
}

// onDatabase runs SQL statements.
func onDatabase(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("running %.40q: %w", statement, err)
		}
	}
	return nil
}

// userURI returns the URI of a user at Census.
func userURI(user int) string { return fmt.Sprintf("https://census.service/user/%d/", user) }

// notification returns the body of a POST.
func notification(user int) string {
	return `{"user":"` + userURI(user) + `","type":"welcome-message"}`
}

// post appends the POST of a notification to buffer.
func post(buffer []byte, host, token, body string) []byte {
	return fmt.Appendf(buffer, "POST /notification/ HTTP/1.1\r\nHost: %s\r\nJWT: %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", host, token, len(body), body)
}
