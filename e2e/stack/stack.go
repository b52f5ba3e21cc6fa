// Package stack runs the whole system from the built programs: PostgreSQL, a mail server and the
// services, with TLS and generated keys. The demo and the end-to-end tests use it. It uses only the
// settings and the API of the services. The table of the services is in services.go.
package stack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"example.com/micromachine/pkg/pgtest"
)

// A Config configures [Start].
type Config struct {
	// BinDir is the directory of the services' programs and of svcauth.
	BinDir string
	// Dir is the directory for keys, logs and mails. It must exist.
	Dir string
	// Logf reports the progress. Required.
	Logf func(format string, args ...any)
	// TapCensus is called with each of Herald's requests to Census, which then go through a proxy.
	// Nil means no proxy.
	TapCensus func(Exchange)
	// OneDatabase makes all services use one database.
	OneDatabase bool
}

// A Stack is a running system.
type Stack struct {
	Config
	CAFile  string
	MailDir string // one .eml file for each mail received

	Services      []*Service // in the order of [Services]
	Mail          *Mail
	Another, Shop *Caller // the callers in Herald's trust file
	Office        *Caller // the caller that manages users at Census

	tapped []*Service // Census at the address of the tap; empty without a tap

	mu      sync.Mutex
	closers []func() error
	addrs   []string // returned by freeAddr
}

// Start starts the databases, the mail server and the services, and creates the keys and the users.
// When it fails it stops everything.
func Start(ctx context.Context, config Config) (*Stack, error) {
	s := &Stack{Config: config, MailDir: filepath.Join(config.Dir, "mails"), Services: Services()}
	for _, step := range []func(context.Context) error{
		s.prepare, s.createDatabases, s.startMail, s.chooseAddresses, s.startTap, s.makeCallers, s.startServices, s.addUsers,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Service returns the service with that name. It panics when there is none.
func (s *Stack) Service(name string) *Service {
	return s.Services[slices.IndexFunc(s.Services, func(service *Service) bool { return service.Name == name })]
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
	for i, service := range s.Services {
		if s.OneDatabase && i > 0 {
			service.DatabaseURL = s.Services[0].DatabaseURL
			continue
		}
		database := pgtest.TempName("demo_" + service.Name)
		if service.DatabaseURL, err = server.CreateDatabase(ctx, database); err != nil {
			return fmt.Errorf("creating a database for %s: %w", service.Name, err)
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

// chooseAddresses chooses the addresses of all services before any starts, as each is configured
// with those of the others.
func (s *Stack) chooseAddresses(context.Context) (err error) {
	for _, service := range s.Services {
		if service.Addr, err = s.freeAddr(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) startTap(context.Context) error {
	if s.TapCensus == nil {
		return nil
	}
	tap, err := newTap(filepath.Join(s.Dir, "census"), s.Service("census"), s.CAFile, s.TapCensus)
	if err != nil {
		return err
	}
	s.onClose(tap.Close)
	s.tapped = []*Service{{URL: CensusURL, Addr: tap.addr}}
	return nil
}

func (s *Stack) makeCallers(context.Context) (err error) {
	s.Another, s.Shop, s.Office, err = s.Callers()
	return err
}

// Callers returns new callers. They reach each service at its address, or at that of the one of
// replacements with the same URL.
func (s *Stack) Callers(replacements ...*Service) (another, shop, office *Caller, err error) {
	return NewCallers(filepath.Join(s.Dir, "callers"), ConnectTo(slices.Concat(replacements, s.Services)))
}

func (s *Stack) addUsers(ctx context.Context) error {
	env := []string{"CENSUS_DATABASE_URL=" + s.Service("census").DatabaseURL}
	return AddUsers(ctx, filepath.Join(s.BinDir, "census"), env, s.Office)
}
