package main

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"example.com/micromachine/pkg/service"
	"example.com/micromachine/pkg/service/servicetest"
)

func TestMain(m *testing.M) { servicetest.Main(m, define) }

func define() service.Definition { return new(program).definition() }

// execute runs a command whose whole environment is environ.
func execute(t *testing.T, environ []string, args ...string) servicetest.Result {
	t.Helper()
	return servicetest.Execute(t, define, environ, args...)
}

// create creates a notification and returns its path.
func create(t *testing.T, s *servicetest.System) (path string) {
	t.Helper()
	return s.Create(t, "notification/", welcome)
}

// What every service does, Herald does.
func TestService(t *testing.T) {
	servicetest.Service{
		Define:   define,
		NewWorld: func(t *testing.T, databaseURL string) *servicetest.World { return newWorld(t, databaseURL).service },
		Read:     create, ReadPath: "notification/019aa2b1-5c3e-7d10-9f0a-3b6d1c2e4f50/",
		WritePath: "notification/", WriteBody: welcome, Written: http.StatusCreated, Table: "notifications",
		Overload: servicetest.Overload{
			Lock: "notifications in share mode", Method: http.MethodPost, Path: "notification/", Body: welcome,
			Sent: 300, Limit: 256, Status: http.StatusCreated,
			Beside: map[string]int{"notification/00000000-0000-0000-0000-000000000000/": http.StatusNotFound},
		},
		Faults: faults(),
		Refused: []servicetest.Refused{
			{
				Settings: []string{"SMTP_ADDR=mail:smtp", "KEY_FILE=/nowhere"},
				Want:     []string{"HERALD_SMTP_ADDR: ", "HERALD_KEY_FILE: "},
			},
			{Settings: []string{"SMTP_TLS=insecure-plaintext"}, Want: []string{"HERALD_SMTP_", "TLS"}},
		},
		Secrets: []string{
			"SMTP_PASSWORD_FILE=hunter2", "SMTP_PASSWORD_FILE=hunter2\nhunter2", "SMTP_ADDR=u:hunter2@mail:25",
			"SMTP_ADDR=hunter2@mail:25", "SMTP_ADDR=smtp://u:hunter2@mail:25", "SMTP_ADDR=hunter2",
		},
		Outages: refuseJobs,
		Readme:  "../../README.md",
	}.Test(t)
}

func faults() []servicetest.Faults {
	required := []string{
		"HERALD_SMTP_ADDR: not set", "HERALD_MAIL_FROM: not set", "HERALD_TLS_CERT_FILE: not set", "HERALD_TLS_KEY_FILE: not set",
		"HERALD_KEY_FILE: not set", "HERALD_TRUST_FILE: not set", "HERALD_DATABASE_URL: not set",
	}
	serve := func(environ string, lines ...string) servicetest.Faults {
		return servicetest.Faults{Command: "serve", Environ: environ, Lines: lines}
	}
	connections := func(value string) servicetest.Faults {
		return serve("HERALD_SMTP_ADDR=mail:25 HERALD_MAIL_FROM=herald@example.com HERALD_SMTP_CONNECTIONS="+value,
			append([]string{"HERALD_SMTP_CONNECTIONS: must be a whole number from 1 to 1000"}, required[2:]...)...)
	}
	return []servicetest.Faults{
		serve("", required...),
		serve("HERALD_LOG_LEVEL=loud HERALD_URL=herald HERALD_CENSUS_URL=http://census.service/",
			slices.Concat([]string{"HERALD_CENSUS_URL: must be"}, required, []string{"HERALD_URL: must be", "HERALD_LOG_LEVEL: "})...),
		serve("HERALD_SMTP_ADDR=mail HERALD_MAIL_FROM=Herald HERALD_SMTP_TLS=maybe HERALD_SMTP_USERNAME=herald",
			append(slices.Clip(required[2:]), "HERALD_SMTP_USERNAME, HERALD_SMTP_PASSWORD: ", "HERALD_SMTP_ADDR: must be",
				"HERALD_SMTP_TLS: must be", "HERALD_MAIL_FROM: must be")...),
		connections("0"), connections("1001"), connections("many"), connections("1e3"), connections("99999999999999999999"),
		serve("HERALD_SMTP_ADDR=mail:25 HERALD_MAIL_FROM=herald@example.com HERALD_SMTP_PASSWORD=x HERALD_SMTP_PASSWORD_FILE=y",
			append(slices.Clip(required[2:]), "HERALD_SMTP_PASSWORD: set, and")...),
	}
}

// refuseJobs makes the database refuse new jobs: a notification whose job cannot be stored is not
// accepted.
func refuseJobs(t *testing.T, s *servicetest.System, databaseURL string) {
	t.Helper()
	post := func(t *testing.T) (*http.Response, string) {
		t.Helper()
		return s.Send(t, http.MethodPost, "notification/", welcome)
	}
	own, err := url.Parse(s.World.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	role := own.User.Username()
	execSQL(t, databaseURL, `revoke insert on river_job from `+role)
	res, body := post(t)
	servicetest.WantUnavailable(t, "POST", res, body)
	execSQL(t, databaseURL, `grant insert on river_job to `+role)
	servicetest.Await(t, "POST afterwards", http.StatusCreated, post)
}
