// Package stack runs the whole system from the built programs: PostgreSQL, a mail server, Census
// and Herald, with TLS and generated keys. The demo and the end-to-end tests use it. It uses only
// the settings and the API of the services.
package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"example.com/micromachine/pkg/pgtest"
)

// The base URLs of the two services.
const (
	CensusURL = "https://census.service/"
	HeraldURL = "https://herald.service/"
)

// A Config configures [Start].
type Config struct {
	// BinDir is the directory of the programs census, herald and svcauth.
	BinDir string
	// Dir is the directory for keys, logs and mails. It must exist.
	Dir string
	// Logf reports the progress. Required.
	Logf func(format string, args ...any)
	// TapCensus is called with each of Herald's requests to Census, which then go through a proxy.
	// Nil means no proxy.
	TapCensus func(Exchange)
	// OneDatabase makes both services use one database.
	OneDatabase bool
}

// A Stack is a running system.
type Stack struct {
	Config
	CensusAddr, HeraldAddr               string // host:port
	CAFile                               string
	CensusDatabaseURL, HeraldDatabaseURL string
	MailDir                              string // one .eml file for each mail received

	Census, Herald *Process
	Mail           *Mail
	Another, Shop  *Caller // the callers in Herald's trust file
	Office         *Caller // the caller that manages users at Census

	censusFromHerald string // the address at which Herald reaches Census

	mu      sync.Mutex
	closers []func() error
	addrs   []string // returned by freeAddr
}

// Start starts the databases, the mail server, Census and Herald, and creates the keys and the
// users. When it fails it stops everything.
func Start(ctx context.Context, config Config) (*Stack, error) {
	s := &Stack{Config: config, MailDir: filepath.Join(config.Dir, "mails")}
	for _, step := range []func(context.Context) error{
		s.prepare, s.createDatabases, s.startMail, s.chooseAddresses, s.startCensus, s.makeCallers, s.addUsers, s.startHerald,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Close stops everything in the reverse order of the start.
func (s *Stack) Close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Stack) onClose(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, f)
}

func (s *Stack) prepare(ctx context.Context) error {
	s.CAFile = filepath.Join(s.Dir, "callers", "ca.pem")
	return Prepare(ctx, s.BinDir, s.Dir)
}

func (s *Stack) createDatabases(ctx context.Context) error {
	server, err := pgtest.Find(ctx, s.Logf)
	if err != nil {
		return err
	}
	s.onClose(func() error { server.Stop(); return nil })
	urls := map[string]*string{"census": &s.CensusDatabaseURL, "herald": &s.HeraldDatabaseURL}
	if s.OneDatabase {
		delete(urls, "herald")
		defer func() { s.HeraldDatabaseURL = s.CensusDatabaseURL }()
	}
	for name, url := range urls {
		database := pgtest.TempName("demo_" + name)
		if *url, err = server.CreateDatabase(ctx, database); err != nil {
			return fmt.Errorf("creating a database for %s: %w", name, err)
		}
		s.onClose(func() error {
			return server.DropDatabase(context.Background(), database)
		})
	}
	return nil
}

func (s *Stack) startMail(context.Context) (err error) {
	ca := filepath.Join(s.Dir, "callers", "ca")
	addr, err := s.freeAddr()
	if err != nil {
		return err
	}
	certFile, keyFile := filepath.Join(ca, "localhost.pem"), filepath.Join(ca, "localhost-key.pem")
	if s.Mail, err = newMail(addr, certFile, keyFile, s.MailDir); err != nil {
		return err
	}
	s.onClose(s.Mail.Stop)
	return s.Mail.Start()
}

// chooseAddresses chooses the addresses of both services before either starts, as each is
// configured with the other's.
func (s *Stack) chooseAddresses(context.Context) (err error) {
	if s.CensusAddr, err = s.freeAddr(); err != nil {
		return err
	}
	if s.HeraldAddr, err = s.freeAddr(); err != nil {
		return err
	}
	s.censusFromHerald = s.CensusAddr
	if s.TapCensus == nil {
		return nil
	}
	tap, err := newTap(s.service("census"), s.CensusAddr, s.CAFile, s.TapCensus)
	if err != nil {
		return err
	}
	s.onClose(tap.Close)
	s.censusFromHerald = tap.addr
	return nil
}

// service returns the directory of a service's files.
func (s *Stack) service(name string) string { return filepath.Join(s.Dir, name) }

func (s *Stack) startCensus(ctx context.Context) error {
	env := append(s.commonEnv("CENSUS", "census", s.CensusAddr), "CENSUS_DATABASE_URL="+s.CensusDatabaseURL,
		"CENSUS_CONNECT_TO=herald.service:443:"+s.HeraldAddr)
	process, err := s.startService(ctx, "census", env)
	s.Census = process
	return err
}

func (s *Stack) startHerald(ctx context.Context) error {
	process, err := s.startService(ctx, "herald", s.heraldEnv(s.HeraldAddr))
	s.Herald = process
	return err
}

func (s *Stack) heraldEnv(addr string) []string {
	return append(s.commonEnv("HERALD", "herald", addr), "HERALD_DATABASE_URL="+s.HeraldDatabaseURL,
		"HERALD_CONNECT_TO=census.service:443:"+s.censusFromHerald, "HERALD_SMTP_ADDR="+s.Mail.Addr,
		"HERALD_MAIL_FROM=Herald <herald@example.com>")
}

func (s *Stack) commonEnv(prefix, service, addr string) []string {
	dir := s.service(service)
	return []string{
		prefix + "_LISTEN=" + addr,
		prefix + "_TLS_CERT_FILE=" + filepath.Join(dir, "tls.pem"),
		prefix + "_TLS_KEY_FILE=" + filepath.Join(dir, "tls-key.pem"),
		prefix + "_KEY_FILE=" + filepath.Join(dir, "keys"),
		prefix + "_TRUST_FILE=" + filepath.Join(dir, "trust.yaml"),
		prefix + "_CA_FILE=" + filepath.Join(dir, "ca.pem"),
	}
}

// startService migrates a service's database and starts the service.
func (s *Stack) startService(ctx context.Context, name string, env []string) (*Process, error) {
	program := filepath.Join(s.BinDir, name)
	if err := runEnv(ctx, env, program, "migrate"); err != nil {
		return nil, err
	}
	return s.serve(ctx, name, name, env)
}

// serve starts one process of a service. The program's healthcheck command checks whether it is
// ready, as in compose.
func (s *Stack) serve(ctx context.Context, name, label string, env []string) (*Process, error) {
	admin, err := s.freeAddr()
	if err != nil {
		return nil, err
	}
	adminSetting := map[string]string{"census": "CENSUS_ADMIN_LISTEN=", "herald": "HERALD_ADMIN_LISTEN="}[name] + admin
	program := filepath.Join(s.BinDir, name)
	env = append(env, adminSetting)
	p := &Process{
		program: program, args: []string{"serve"}, env: env, logFile: filepath.Join(s.Dir, label+".log"),
		ready: func(ctx context.Context) error { return runEnv(ctx, env, program, "healthcheck") },
	}
	s.onClose(p.Stop)
	s.Logf("starting %s", label)
	return p, p.Start(ctx)
}

// SecondHerald starts another Herald on the same database and returns it with its address.
func (s *Stack) SecondHerald(ctx context.Context) (*Process, string, error) {
	return s.AnotherHerald(ctx, "herald-2")
}

// AnotherHerald starts another Herald and returns it with its address. name is the name of its log.
// settings, of the form "NAME=value", override those of the first Herald. It is safe for concurrent
// use.
func (s *Stack) AnotherHerald(ctx context.Context, name string, settings ...string) (*Process, string, error) {
	addr, err := s.freeAddr()
	if err != nil {
		return nil, "", err
	}
	p, err := s.serve(ctx, "herald", name, append(s.heraldEnv(addr), settings...))
	return p, addr, err
}

func (s *Stack) makeCallers(context.Context) (err error) {
	connectTo := ConnectTo(s.CensusAddr, s.HeraldAddr)
	s.Another, s.Shop, s.Office, err = NewCallers(filepath.Join(s.Dir, "callers"), connectTo)
	return err
}

func (s *Stack) addUsers(ctx context.Context) error {
	env := []string{"CENSUS_DATABASE_URL=" + s.CensusDatabaseURL}
	return AddUsers(ctx, filepath.Join(s.BinDir, "census"), env, s.Office)
}

// EnvFile returns the variables for calls by hand from a shell, as "export NAME=value" lines.
func (s *Stack) EnvFile() []byte {
	var out []byte
	for _, v := range [][2]string{
		{"CENSUS_ADDR", s.CensusAddr},
		{"HERALD_ADDR", s.HeraldAddr},
		{"CA_FILE", s.CAFile},
		{"CENSUS_DATABASE_URL", s.CensusDatabaseURL},
		{"HERALD_DATABASE_URL", s.HeraldDatabaseURL},
		{"MAIL_DIR", s.MailDir},
		{"ANOTHER_KEY", s.Another.KeyFile},
		{"SHOP_KEY", s.Shop.KeyFile},
		{"SHOP_KID", s.Shop.KeyID()},
		{"OFFICE_KEY", s.Office.KeyFile},
	} {
		out = fmt.Appendf(out, "export %s=%s\n", v[0], Quote(v[1]))
	}
	return out
}

// WriteEnv writes EnvFile to a file. It replaces the file atomically.
func (s *Stack) WriteEnv(file string) error {
	part := file + ".part"
	if err := os.WriteFile(part, s.EnvFile(), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return os.Rename(part, file)
}
