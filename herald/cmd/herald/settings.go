package main

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/pkg/service"
)

// settings are Herald's own settings.
type settings struct {
	CensusURL    service.URL    `env:"CENSUS_URL" envDefault:"https://census.service/" help:"the name of Census"`
	SMTPAddr     string         `env:"SMTP_ADDR,notEmpty" help:"mail server: host:port, [IPv6]:port or [IPv6%zone]:port"`
	SMTPTLS      mail.TLSMode   `env:"SMTP_TLS" envDefault:"starttls" help:"starttls, implicit or insecure-plaintext"`
	SMTPUsername string         `env:"SMTP_USERNAME" help:"login at the mail server; needs the password"`
	SMTPPassword service.Secret `env:"SMTP_PASSWORD" help:"password of the login; needs the username"`
	SMTPAuth     mail.Mechanism `env:"SMTP_AUTH" envDefault:"auto" help:"mechanism of the login: scram-sha-256, plain, login, scram-sha-1, cram-md5, ntlm, or auto, the first of them that the mail server offers"`
	SMTPConns    service.Count  `env:"SMTP_CONNECTIONS" envDefault:"40" help:"number of connections that the process opens to the mail server at most"`
	MailFrom     string         `env:"MAIL_FROM,notEmpty" help:"sender of the mails, such as 'Herald <herald@example.com>'"`
}

// check returns all faults of the settings. [mail.NewSender] checks the rest of SMTP_ADDR.
func (s *settings) check(common service.Settings) (errs []error) {
	if s.SMTPPassword != service.Unreadable && (s.SMTPUsername == "") != (s.SMTPPassword == "") {
		errs = append(errs, errors.New("HERALD_SMTP_USERNAME, HERALD_SMTP_PASSWORD: must be set both, or neither"))
	}
	if host, _, err := net.SplitHostPort(s.SMTPAddr); s.SMTPAddr != "" && (err != nil || host == "") {
		errs = append(errs, errors.New("HERALD_SMTP_ADDR: must be of the form host:port, or [host]:port for an IPv6 address"))
	}
	modes := []mail.TLSMode{mail.STARTTLS, mail.Implicit, mail.InsecurePlaintext}
	if !slices.Contains(modes, s.SMTPTLS) {
		errs = append(errs, fmt.Errorf("HERALD_SMTP_TLS: must be one of %v", modes))
	} else if s.SMTPTLS == mail.InsecurePlaintext && s.SMTPUsername != "" {
		errs = append(errs, fmt.Errorf("HERALD_SMTP_TLS: must not be %s where HERALD_SMTP_USERNAME is set", s.SMTPTLS))
	}
	if !s.SMTPAuth.Valid() {
		errs = append(errs, fmt.Errorf("HERALD_SMTP_AUTH: must be one of %v", mail.Mechanisms()))
	}
	if _, err := mail.ParseFrom(s.MailFrom); s.MailFrom != "" && err != nil {
		errs = append(errs, fmt.Errorf("HERALD_MAIL_FROM: %w", err))
	}
	if host, err := service.Host(common.URL); err == nil {
		if _, err := mail.ParseDomain(host); err != nil { // it is to be the domain of Message-IDs
			errs = append(errs, fmt.Errorf("HERALD_URL: %w", err))
		}
	}
	return errs
}
