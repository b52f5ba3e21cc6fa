package main

import (
	"errors"
	"fmt"
)

const usage = `Usage: herald COMMAND

Commands:
  serve         run the service until SIGTERM or an interrupt
  migrate       bring the database up to date
  healthcheck   ask the service on this machine whether it is ready
  help          print this

Settings are taken from the environment; a secret NAME also from the file NAME_FILE.
  HERALD_DATABASE_URL   serve, migrate; secret, required; pool_max_conns in it
                        is 34 by default and 4 at least
  HERALD_ADMIN_LISTEN   serve, healthcheck; address for /healthz, /readyz, /metrics and /debug/pprof/ (default 127.0.0.1:9444)
and, for serve alone,
  HERALD_URL            the service's own name (default https://herald.service/)
  HERALD_LISTEN         address for the API (default :8443)
  HERALD_TLS_CERT_FILE, HERALD_TLS_KEY_FILE
                        certificate chain and key in PEM; required
  HERALD_KEY_FILE       the key that Herald signs with, in PEM, or a directory of
                        "svcauth rotate"; required
  HERALD_TRUST_FILE     whose calls are accepted, and which; required
  HERALD_CA_FILE        certificate authorities to trust beside the system's, in PEM
  HERALD_CONNECT_TO     where to find other services, as curl's --connect-to; separated by commas
  HERALD_CENSUS_URL     the name of the service that knows the users (default https://census.service/)
  HERALD_SMTP_ADDR      host:port or [IPv6 address]:port of the mail server; required
  HERALD_SMTP_TLS       starttls, implicit or insecure-plaintext (default starttls)
  HERALD_SMTP_USERNAME, HERALD_SMTP_PASSWORD
                        login at the mail server, both or neither; the password is secret
  HERALD_SMTP_AUTH      mechanism of the login: scram-sha-256, plain, login, scram-sha-1, cram-md5, ntlm,
                        or auto, the first of them that the mail server offers (default auto)
  HERALD_MAIL_FROM      sender of the mails, such as "Herald <herald@example.com>"; required
  HERALD_LOG_LEVEL      debug, info, warn or error (default info)

Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
`

// parseCommand returns the command that the arguments name.
func parseCommand(args []string) (string, error) {
	if len(args) == 0 {
		return "", errors.New("no command")
	}
	command := args[0]
	switch command {
	case "serve", "migrate", "healthcheck":
	case "help", "-h", "-help", "--help":
		command = "help"
	default:
		return "", fmt.Errorf("unknown command %q", command)
	}
	if len(args) > 1 {
		return "", fmt.Errorf("%s takes no arguments", command)
	}
	return command, nil
}
