package main

import (
	"fmt"
	"net/http"
	"testing"

	"example.com/micromachine/pkg/service/servicetest"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

func TestMain(m *testing.M) { servicetest.Main(m, definition) }

// name is the URL of Census in these tests. Package httptest has a certificate for it.
const name = "https://example.com/"

// newUser is the body of a POST whose mail address is taken, so that it can be sent often.
const newUser = `{"name":"New","email":"admin@example.com"}`

// execute runs a command whose whole environment is environ.
func execute(t *testing.T, environ []string, args ...string) servicetest.Result {
	t.Helper()
	return servicetest.Execute(t, definition, environ, args...)
}

// newWorld prepares a Census that the service office may call in the name of user 1, an
// administrator.
func newWorld(t *testing.T, databaseURL string) *servicetest.World {
	t.Helper()
	w := &servicetest.World{
		Define: definition, URL: name, DatabaseURL: databaseURL, Subject: name + "user/1/",
		Trust: svcauthtest.Trust{
			Issuer: svcauthtest.NewIssuer(t, "https://office.service/"),
			Allow:  []string{"GET /user/*", "POST /user/"}, ActFor: []string{name + "user/*"}, Admin: true,
		},
	}
	w.Prepare(t)
	return w
}

// addAdmin adds user 1.
func addAdmin(t *testing.T, databaseURL string) {
	t.Helper()
	execute(t, []string{"CENSUS_DATABASE_URL=" + databaseURL},
		"user", "add", "--admin", "--name", "Admin", "--email", "admin@example.com").MustSucceed(t)
}

// What every service does, Census does.
func TestService(t *testing.T) {
	const badID = "must be a number from 1"
	servicetest.Service{
		Define: definition, NewWorld: newWorld, Fill: addAdmin,
		Read:     func(*testing.T, *servicetest.System) string { return "user/1/" },
		ReadPath: "user/1/", WritePath: "user/", WriteBody: newUser, Written: http.StatusConflict, Table: "users",
		Overload: servicetest.Overload{
			Lock: "users in access exclusive mode", Method: http.MethodGet, Path: "user/1/", Sent: 600, Limit: 512,
			Status: http.StatusOK,
		},
		Command: func(n int) []string {
			return []string{"user", "add", "--name", "A", "--email", fmt.Sprintf("a%d@example.com", n)}
		},
		Usage: []servicetest.WrongArguments{
			{Args: "user", Message: `unknown command "user"`},
			{Args: "user remove", Message: `unknown command "user remove"`},
			{Args: "user add --name A", Message: "needs --name and --email"},
			{Args: "user add --email a@example.com", Message: "needs --name and --email"},
			{Args: "user add --name A --email a@example.com B", Message: `no argument "B"`},
			{Args: "user add --name A --email a@example.com --root", Message: "-root"},
			{Args: "user add --name A --email a@example.com --id 0", Message: badID},
			{Args: "user add --name A --email a@example.com --id -1", Message: badID},
			{Args: "user add --name A --email a@example.com --id 042", Message: badID},
			{Args: "user add --name A --email a@example.com --id 0x10", Message: badID},
			{Args: "user add --name A --email a@example.com --id 9223372036854775807", Message: badID},
		},
		Faults: []servicetest.Faults{
			{Command: "user add --name A --email a@example.com", Environ: "CENSUS_URL=http://census.service/", Lines: []string{
				"CENSUS_DATABASE_URL: not set", "CENSUS_URL: must be an https URL",
			}},
			{Command: "serve", Environ: "CENSUS_LOG_LEVEL=loud CENSUS_URL=census CENSUS_KEY_FILE=", Lines: []string{
				"CENSUS_TLS_CERT_FILE: not set", "CENSUS_TLS_KEY_FILE: not set", "CENSUS_KEY_FILE: not set",
				"CENSUS_TRUST_FILE: not set", "CENSUS_DATABASE_URL: not set", "CENSUS_URL: must be", "CENSUS_LOG_LEVEL: ",
			}},
		},
		Readme: "../../README.md",
	}.Test(t)
}
