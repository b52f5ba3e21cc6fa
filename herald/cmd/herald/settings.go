package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"

	heraldmail "example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/pkg/command"
	"example.com/micromachine/pkg/database"
)

// databaseSettings are those of every command that needs the database.
type databaseSettings struct {
	URL  string `env:"HERALD_DATABASE_URL"`
	File string `env:"HERALD_DATABASE_URL_FILE"`

	Config *database.Config `env:"-"` // what URL says
}

// Complete implements [command.Completer], as those below do.
func (s *databaseSettings) Complete() []error {
	var err error
	if s.URL, err = command.Secret("HERALD_DATABASE_URL", s.URL, s.File); err != nil {
		return []error{err}
	}
	if s.URL == "" {
		return []error{errors.New("HERALD_DATABASE_URL: not set")}
	}
	if s.Config, err = database.Parse(s.URL); err != nil {
		return []error{inDatabaseURL(err)}
	}
	return nil
}

// inDatabaseURL names the setting that an error lies in.
func inDatabaseURL(err error) error { return fmt.Errorf("HERALD_DATABASE_URL: %w", err) }

// adminSettings are those of every command that has to do with the admin listener.
type adminSettings struct {
	Listen string `env:"HERALD_ADMIN_LISTEN" envDefault:"127.0.0.1:9444"`
}

func (*adminSettings) Complete() []error { return nil }

// mailSettings are those of the mail server.
type mailSettings struct {
	Addr         string               `env:"HERALD_SMTP_ADDR,notEmpty"`
	TLS          heraldmail.TLSMode   `env:"HERALD_SMTP_TLS" envDefault:"starttls"`
	Username     string               `env:"HERALD_SMTP_USERNAME"`
	Password     string               `env:"HERALD_SMTP_PASSWORD"`
	PasswordFile string               `env:"HERALD_SMTP_PASSWORD_FILE"`
	Auth         heraldmail.Mechanism `env:"HERALD_SMTP_AUTH" envDefault:"auto"`
	From         string               `env:"HERALD_MAIL_FROM,notEmpty"`
}

func (s *mailSettings) Complete() (errs []error) {
	var err error
	if s.Password, err = command.Secret("HERALD_SMTP_PASSWORD", s.Password, s.PasswordFile); err != nil {
		errs = append(errs, err)
	} else if (s.Username == "") != (s.Password == "") {
		errs = append(errs, errors.New("HERALD_SMTP_USERNAME, HERALD_SMTP_PASSWORD: must be set both, or neither"))
	}
	// The host and the port are checked by mail.NewSender, together with the files that settings name.
	if host, _, err := net.SplitHostPort(s.Addr); s.Addr != "" && (err != nil || host == "") {
		errs = append(errs, errors.New("HERALD_SMTP_ADDR: must be of the form host:port, or [host]:port for an IPv6 address"))
	}
	modes := []heraldmail.TLSMode{heraldmail.STARTTLS, heraldmail.Implicit, heraldmail.InsecurePlaintext}
	if !slices.Contains(modes, s.TLS) {
		errs = append(errs, fmt.Errorf("HERALD_SMTP_TLS: must be one of %v", modes))
	} else if s.TLS == heraldmail.InsecurePlaintext && s.Username != "" {
		errs = append(errs, fmt.Errorf("HERALD_SMTP_TLS: must not be %s where HERALD_SMTP_USERNAME is set", s.TLS))
	}
	if !s.Auth.Valid() {
		errs = append(errs, fmt.Errorf("HERALD_SMTP_AUTH: must be one of %v", heraldmail.Mechanisms()))
	}
	if _, err := heraldmail.ParseFrom(s.From); s.From != "" && err != nil {
		errs = append(errs, fmt.Errorf("HERALD_MAIL_FROM: %w", err))
	}
	return errs
}

type serveSettings struct {
	Database    databaseSettings
	Admin       adminSettings
	Mail        mailSettings
	URL         string     `env:"HERALD_URL" envDefault:"https://herald.service/"`
	CensusURL   string     `env:"HERALD_CENSUS_URL" envDefault:"https://census.service/"`
	Listen      string     `env:"HERALD_LISTEN" envDefault:":8443"`
	TLSCertFile string     `env:"HERALD_TLS_CERT_FILE,notEmpty"`
	TLSKeyFile  string     `env:"HERALD_TLS_KEY_FILE,notEmpty"`
	KeyFile     string     `env:"HERALD_KEY_FILE,notEmpty"`
	TrustFile   string     `env:"HERALD_TRUST_FILE,notEmpty"`
	CAFile      string     `env:"HERALD_CA_FILE"`
	ConnectTo   string     `env:"HERALD_CONNECT_TO"`
	RawLogLevel string     `env:"HERALD_LOG_LEVEL" envDefault:"info"`
	LogLevel    slog.Level `env:"-"`
	Host        string     `env:"-"` // URL's
}

func (s *serveSettings) Complete() []error {
	errs := append(s.Database.Complete(), s.Mail.Complete()...)
	var err error
	if s.Host, err = serviceHost(s.URL); err == nil {
		_, err = heraldmail.ParseDomain(s.Host)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("HERALD_URL: %w", err))
	}
	if _, err := serviceHost(s.CensusURL); err != nil {
		errs = append(errs, fmt.Errorf("HERALD_CENSUS_URL: %w", err))
	}
	if s.Database.Config != nil {
		if err := s.Database.Config.CheckMaxConns(leastConns); err != nil {
			errs = append(errs, inDatabaseURL(err))
		}
	}
	errs = append(errs, command.FileName("HERALD_KEY_FILE", s.KeyFile), command.FileName("HERALD_TLS_KEY_FILE", s.TLSKeyFile))
	if err := s.LogLevel.UnmarshalText([]byte(s.RawLogLevel)); err != nil {
		errs = append(errs, fmt.Errorf("HERALD_LOG_LEVEL: %w", err))
	}
	return errs
}

// serviceHost returns the host of a service's name: an https URL of nothing but a
// host, lower-case and perhaps with a port, and a slash.
func serviceHost(name string) (string, error) {
	u, err := url.Parse(name)
	if err != nil || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || name != "https://"+strings.ToLower(u.Host)+"/" {
		return "", errors.New("must be an https URL of a host and a slash, such as https://herald.service/")
	}
	return u.Hostname(), nil
}
