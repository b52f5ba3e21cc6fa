package stack

import (
	"context"
	"path/filepath"

	"example.com/micromachine/pkg/httpserve"
)

// startServices migrates the database of each service and starts the service.
func (s *Stack) startServices(ctx context.Context) (err error) {
	for _, service := range s.Services {
		env := s.settingsOf(service)
		if err := runEnv(ctx, env, filepath.Join(s.BinDir, service.Name), "migrate"); err != nil {
			return err
		}
		if service.Process, err = s.serve(ctx, service, service.Name, env); err != nil {
			return err
		}
	}
	return nil
}

// settingsOf returns the settings of a service. Later ones override earlier ones.
func (s *Stack) settingsOf(service *Service) []string {
	prefix, dir := service.prefix(), filepath.Join(s.Dir, service.Name)
	settings := []string{
		prefix + "LISTEN=" + service.Addr,
		prefix + "TLS_CERT_FILE=" + filepath.Join(dir, "tls.pem"),
		prefix + "TLS_KEY_FILE=" + filepath.Join(dir, "tls-key.pem"),
		prefix + "KEY_FILE=" + filepath.Join(dir, "keys"),
		prefix + "TRUST_FILE=" + filepath.Join(dir, "trust.yaml"),
		prefix + "CA_FILE=" + filepath.Join(dir, "ca.pem"),
		prefix + "DATABASE_URL=" + service.DatabaseURL,
		prefix + "CONNECT_TO=" + ConnectTo(s.Services),
	}
	if service.settings != nil {
		settings = append(settings, service.settings(s)...)
	}
	return settings
}

// serve starts one process of a service. label is the name of its log.
func (s *Stack) serve(ctx context.Context, service *Service, label string, env []string) (*Process, error) {
	admin, err := s.freeAddr()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(s.BinDir, service.Name)
	env = append(env, service.prefix()+"ADMIN_LISTEN="+admin)
	p := &Process{
		program: program, args: []string{"serve"}, env: env, logFile: filepath.Join(s.Dir, label+".log"),
		ready: func(ctx context.Context) error { return httpserve.Healthcheck(ctx, admin) },
	}
	s.onClose(p.Stop)
	s.Logf("starting %s", label)
	return p, p.Start(ctx)
}

// SecondHerald starts another Herald on the same database.
func (s *Stack) SecondHerald(ctx context.Context) (*Service, error) {
	return s.AnotherHerald(ctx, "herald-2")
}

// AnotherHerald starts another Herald. label is the name of its log. settings, of the form
// "NAME=value", override those of the first Herald. It is safe for concurrent use.
func (s *Stack) AnotherHerald(ctx context.Context, label string, settings ...string) (*Service, error) {
	another := *s.Service("herald")
	var err error
	if another.Addr, err = s.freeAddr(); err != nil {
		return nil, err
	}
	another.Process, err = s.serve(ctx, &another, label, append(s.settingsOf(&another), settings...))
	return &another, err
}
