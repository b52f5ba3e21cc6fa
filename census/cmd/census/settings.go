package main

import (
	"errors"
	"fmt"
	"log/slog"

	"example.com/micromachine/census"
	"example.com/micromachine/census/internal/postgres"
	"example.com/micromachine/pkg/command"
	"example.com/micromachine/pkg/database"
)

// databaseSettings are those of every command that needs the database.
type databaseSettings struct {
	URL  string `env:"CENSUS_DATABASE_URL"`
	File string `env:"CENSUS_DATABASE_URL_FILE"`

	Config *database.Config `env:"-"` // what URL says
}

// Complete implements [command.Completer], as those below do.
func (s *databaseSettings) Complete() []error {
	var err error
	if s.URL, err = command.Secret("CENSUS_DATABASE_URL", s.URL, s.File); err != nil {
		return []error{err}
	}
	if s.URL == "" {
		return []error{errors.New("CENSUS_DATABASE_URL: not set")}
	}
	if s.Config, err = database.Parse(s.URL); err != nil {
		return []error{inDatabaseURL(err)}
	}
	return nil
}

// nameSettings are those of every command that names users.
type nameSettings struct {
	Raw string         `env:"CENSUS_URL" envDefault:"https://census.service/"`
	URL census.BaseURL `env:"-"`
}

func (s *nameSettings) Complete() (errs []error) {
	if err := s.URL.UnmarshalText([]byte(s.Raw)); err != nil {
		errs = append(errs, fmt.Errorf("CENSUS_URL: %w", err))
	}
	return errs
}

// inDatabaseURL names the setting that an error lies in.
func inDatabaseURL(err error) error { return fmt.Errorf("CENSUS_DATABASE_URL: %w", err) }

// adminSettings are those of every command that has to do with the admin listener.
type adminSettings struct {
	Listen string `env:"CENSUS_ADMIN_LISTEN" envDefault:"127.0.0.1:9443"`
}

func (*adminSettings) Complete() []error { return nil }

type addUserSettings struct {
	Database databaseSettings
	Name     nameSettings
}

func (s *addUserSettings) Complete() []error {
	return append(s.Database.Complete(), s.Name.Complete()...)
}

type serveSettings struct {
	Database    databaseSettings
	Name        nameSettings
	Admin       adminSettings
	Listen      string     `env:"CENSUS_LISTEN" envDefault:":8443"`
	TLSCertFile string     `env:"CENSUS_TLS_CERT_FILE,notEmpty"`
	TLSKeyFile  string     `env:"CENSUS_TLS_KEY_FILE,notEmpty"`
	KeyFile     string     `env:"CENSUS_KEY_FILE,notEmpty"`
	TrustFile   string     `env:"CENSUS_TRUST_FILE,notEmpty"`
	CAFile      string     `env:"CENSUS_CA_FILE"`
	ConnectTo   string     `env:"CENSUS_CONNECT_TO"`
	RawLogLevel string     `env:"CENSUS_LOG_LEVEL" envDefault:"info"`
	LogLevel    slog.Level `env:"-"`
}

func (s *serveSettings) Complete() []error {
	errs := append(s.Database.Complete(), s.Name.Complete()...)
	if s.Database.Config != nil {
		if err := s.Database.Config.CheckMaxConns(postgres.LeastConns); err != nil {
			errs = append(errs, inDatabaseURL(err))
		}
	}
	errs = append(errs, command.FileName("CENSUS_KEY_FILE", s.KeyFile), command.FileName("CENSUS_TLS_KEY_FILE", s.TLSKeyFile))
	if err := s.LogLevel.UnmarshalText([]byte(s.RawLogLevel)); err != nil {
		errs = append(errs, fmt.Errorf("CENSUS_LOG_LEVEL: %w", err))
	}
	return errs
}
