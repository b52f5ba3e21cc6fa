package service

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"example.com/micromachine/pkg/database"
)

// Domain is the domain of the services' names: the default of CENSUS_URL is https://census.service/.
const Domain = "service"

// Settings are the settings of every service. A field's tags are also the source of the usage and
// of the README's table: env is the variable without the service's prefix, with notEmpty for a
// required one; envDefault is its default, and help says what it means.
type Settings struct {
	Listen      string `env:"LISTEN" envDefault:":8443" help:"address for the API"`
	TLSCertFile string `env:"TLS_CERT_FILE,notEmpty" help:"certificate chain in PEM; read again on change"`
	TLSKeyFile  string `env:"TLS_KEY_FILE,notEmpty" help:"key of the certificate in PEM; read again on change"`
	KeyFile     string `env:"KEY_FILE,notEmpty" help:"key that signs: PKCS #8 in PEM, or a directory made by svcauth rotate"`
	TrustFile   string `env:"TRUST_FILE,notEmpty" help:"trust file: which services may call, and which calls; read again on change"`
	DatabaseURL Secret `env:"DATABASE_URL,notEmpty" help:"PostgreSQL 15 or later, also through PgBouncer in session mode"`
	URL         string `env:"URL" help:"the service's own name"`
	AdminListen string `env:"ADMIN_LISTEN" help:"address for /healthz, /readyz, /metrics and /debug/pprof/"`
	CAFile      string `env:"CA_FILE" help:"certificate authorities to trust beside the system's, in PEM"`
	ConnectTo   string `env:"CONNECT_TO" help:"where to find other services, as curl's --connect-to; separated by commas"`
	LogLevel    string `env:"LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`

	level slog.Level // what LogLevel says
}

// Secret is the type of a setting that is never printed. It is read from its variable or, when the
// variable with _FILE after its name is set, from that file, without the white space around it.
type Secret string

// Unreadable is the value of a secret whose fault is already reported.
const Unreadable Secret = "(unreadable)"

// String returns a placeholder.
func (Secret) String() string { return "(secret)" }

// MarshalText returns a placeholder, for JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// URL is the type of a setting that is the URL of a service, such as "https://census.service/". See
// [Host].
type URL string

// UnmarshalText accepts the URLs that [Host] accepts.
func (u *URL) UnmarshalText(text []byte) error {
	_, err := Host(string(text))
	*u = URL(text)
	return err
}

// Count is the type of a setting that is a number from 1 to 1000.
type Count int

// UnmarshalText accepts the numbers in decimal digits.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > 1000 {
		return errCount
	}
	*c = Count(n)
	return nil
}

// A valueError says what is wrong with the text of a setting, without the text.
type valueError string

// Error implements error.
func (e valueError) Error() string { return string(e) }

// The errors of texts that are no URL of a service, and no Count.
const (
	errURL   valueError = "must be an https URL of a host and a slash, such as https://herald.service/"
	errCount valueError = "must be a whole number from 1 to 1000"
)

// defaults returns the settings whose defaults depend on the service.
func (d *Definition) defaults() Settings {
	return Settings{URL: "https://" + d.Name + "." + Domain + "/", AdminListen: d.AdminListen}
}

// Variable returns the name of a variable with the service's prefix.
func (d *Definition) Variable(name string) string {
	return strings.ToUpper(strings.ReplaceAll(d.Name, "-", "_")) + "_" + name
}

// read reads the settings that a command needs. All faults together are one [Misuse], one line for
// each variable, which begins with its name.
func (d *Definition) read(c *Command, environ []string) (*Runtime, error) {
	rt := &Runtime{Settings: d.defaults(), definition: d}
	e := newEnvironment(d, c, environ)
	if c.all && d.Settings != nil {
		e.parse(d.Settings)
	}
	e.parse(&rt.Settings)
	errs := slices.Concat(e.faults, e.secretFaults, rt.checkShared(c))
	if c.all {
		if d.Check != nil {
			errs = append(errs, d.Check(rt.Settings)...)
		}
		errs = append(errs, rt.checkServe()...)
	}
	return rt, Misuse(errors.Join(errs...))
}

// ReadSettings reads the settings of serve. It is for tests of a service's own settings.
func ReadSettings(d Definition, environ []string) (*Runtime, error) {
	return d.read(&Command{all: true}, environ)
}

// checkShared checks the settings that several commands read.
func (rt *Runtime) checkShared(c *Command) (errs []error) {
	s := rt.Settings
	if c.reads("DATABASE_URL") && s.DatabaseURL != "" && s.DatabaseURL != Unreadable {
		var err error
		if rt.Database, err = database.Parse(string(s.DatabaseURL)); err != nil {
			errs = append(errs, rt.blame("DATABASE_URL", err))
		}
	}
	if c.reads("URL") {
		_, err := Host(s.URL)
		errs = append(errs, rt.blame("URL", err))
	}
	return errs
}

// checkServe checks the settings that only serve reads.
func (rt *Runtime) checkServe() (errs []error) {
	s := &rt.Settings
	if rt.Database != nil {
		errs = append(errs, rt.blame("DATABASE_URL", rt.Database.CheckMaxConns(rt.definition.Conns.Least)))
	}
	return append(errs,
		rt.blame("KEY_FILE", checkFileName(s.KeyFile)),
		rt.blame("TLS_KEY_FILE", checkFileName(s.TLSKeyFile)),
		rt.blame("LOG_LEVEL", s.level.UnmarshalText([]byte(s.LogLevel))))
}

// blame puts the name of the variable at fault before an error. Nil stays nil.
func (rt *Runtime) blame(variable string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", rt.definition.Variable(variable), err)
}

// checkFileName returns an error when a setting that names a file holds the content of a file, such
// as a key. The error does not repeat it.
func checkFileName(value string) error {
	if strings.ContainsAny(value, "\r\n") || strings.Contains(value, "-----BEGIN") {
		return errors.New("must be the name of a file, and not what is in it")
	}
	return nil
}

// Host returns the host of a service's URL, without the port. The URL must be https and consist of
// a host in lower case, perhaps a port, and a slash.
func Host(serviceURL string) (string, error) {
	u, err := url.Parse(serviceURL)
	if err != nil || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") ||
		serviceURL != "https://"+strings.ToLower(u.Host)+"/" {
		return "", errURL
	}
	return u.Hostname(), nil
}
