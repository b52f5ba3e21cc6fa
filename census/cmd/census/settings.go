package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/caarlos0/env/v11"

	"example.com/micromachine/census"
)

// databaseSettings are those of every command that needs the database.
type databaseSettings struct {
	URL  string `env:"CENSUS_DATABASE_URL"`
	File string `env:"CENSUS_DATABASE_URL_FILE"`
}

func (s *databaseSettings) complete() []error {
	switch {
	case s.URL != "" && s.File != "":
		return []error{errors.New("CENSUS_DATABASE_URL: set, and CENSUS_DATABASE_URL_FILE too")}
	case s.File != "":
		content, err := os.ReadFile(s.File)
		if err != nil {
			return []error{fmt.Errorf("CENSUS_DATABASE_URL_FILE: %w", err)}
		}
		s.URL = strings.TrimSpace(string(content))
	}
	if s.URL == "" {
		return []error{errors.New("CENSUS_DATABASE_URL: not set")}
	}
	return nil
}

// nameSettings are those of every command that names users.
type nameSettings struct {
	Raw string         `env:"CENSUS_URL" envDefault:"https://census.service/"`
	URL census.BaseURL `env:"-"`
}

func (s *nameSettings) complete() (errs []error) {
	if err := s.URL.UnmarshalText([]byte(s.Raw)); err != nil {
		errs = append(errs, fmt.Errorf("CENSUS_URL: %w", err))
	}
	return errs
}

// adminSettings are those of every command that has to do with the admin listener.
type adminSettings struct {
	Listen string `env:"CENSUS_ADMIN_LISTEN" envDefault:"127.0.0.1:9443"`
}

func (*adminSettings) complete() []error { return nil }

type addUserSettings struct {
	Database databaseSettings
	Name     nameSettings
}

func (s *addUserSettings) complete() []error {
	return append(s.Database.complete(), s.Name.complete()...)
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

func (s *serveSettings) complete() []error {
	errs := append(s.Database.complete(), s.Name.complete()...)
	if err := s.LogLevel.UnmarshalText([]byte(s.RawLogLevel)); err != nil {
		errs = append(errs, fmt.Errorf("CENSUS_LOG_LEVEL: %w", err))
	}
	return errs
}

// settings of type T know how to check and complete themselves.
type settings[T any] interface {
	*T
	complete() []error
}

// readSettings reads settings from an environment. All that is wrong with them
// is one error, a line each, which starts with the variable's name.
func readSettings[T any, P settings[T]](environ []string) (T, error) {
	read, err := env.ParseAsWithOptions[T](env.Options{Environment: env.ToMap(environ)})
	var errs []error
	if several, ok := errors.AsType[env.AggregateError](err); ok {
		for _, err := range several.Errors {
			errs = append(errs, nameVariable(err))
		}
	} else if err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, P(&read).complete()...)
	if len(errs) > 0 {
		return read, misuse{errors.Join(errs...)}
	}
	return read, nil
}

func nameVariable(err error) error {
	if empty, ok := errors.AsType[env.EmptyVarError](err); ok {
		return fmt.Errorf("%s: not set", empty.Key)
	}
	return err
}
