// Package servicetest tests what every service must do, whatever its API: it starts without its
// database and is then not ready, refuses wrong settings by name, never prints a secret, answers
// 503 while the database fails, limits the requests in flight, works through PgBouncer and with the
// smallest pool, and stops in order. A service describes itself by a [Service]:
//
//	func TestMain(m *testing.M) { servicetest.Main(m, definition) }
//
//	func TestService(t *testing.T) { servicetest.Service{...}.Test(t) }
//
// The functions for a service's further tests are [Execute] for a command, and [World.Start] for a
// service that runs.
package servicetest

import (
	"fmt"
	"os"
	"testing"

	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/service"
)

// Define returns the definition of a service, a new one for each run.
type Define func() service.Definition

// Service describes a service for the tests.
type Service struct {
	// Define returns the service's definition. Required.
	Define Define
	// NewWorld prepares a run of the service on a database. Required.
	NewWorld func(t *testing.T, databaseURL string) *World
	// Fill adds the rows that Read and Write need to a migrated database. Nil: none.
	Fill func(t *testing.T, databaseURL string)

	// Read returns the path of a GET that is answered 200 once. It may make a request for that.
	// Required.
	Read func(t *testing.T, s *System) (path string)
	// ReadPath is the path of a GET that needs the database. Required.
	ReadPath string
	// WritePath and WriteBody are those of a POST that writes to Table, and Written the status of its
	// answer. The same POST is sent often. Required.
	WritePath, WriteBody string
	Written              int
	// Table is the table to which the POST writes. Required.
	Table string

	// Overload is how to exceed the limit of requests in flight. Required.
	Overload Overload
	// Command returns the arguments of a command of the service's own that needs the database. n is
	// different for each call. Nil: there is none.
	Command func(n int) []string
	// Usage lists wrong arguments of the service's own commands. Nil: none.
	Usage []WrongArguments
	// Faults are faults of the settings that only concern this service. Nil: none.
	Faults []Faults
	// Refused are settings with which serve does not start. Nil: none.
	Refused []Refused
	// Secrets are settings, as NAME=value without the prefix, that hold the secret hunter2 in a place
	// where it does not belong. Nil: none.
	Secrets []string
	// Outages is called when the log was tested through some outages of the database. Nil: nothing.
	Outages func(t *testing.T, s *System, databaseURL string)
	// Readme is the README with the table of the settings. Required.
	Readme string
}

// mainVariable makes the test program run the service.
const mainVariable = "SERVICETEST_MAIN"

// Main runs the tests of a package, or the service itself when [World.Command] has started the
// program.
func Main(m *testing.M, define Define) {
	if os.Getenv(mainVariable) != "" {
		os.Exit(service.Main(define()))
	}
	pgtest.Main(m)
}

// Test runs all tests of a service, in parallel to others.
func (s Service) Test(t *testing.T) {
	t.Helper()
	t.Parallel()
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Usage", s.testUsage},
		{"Readme", s.testReadme},
		{"Settings", s.testSettings},
		{"Secrets", s.testSecrets},
		{"Password", s.testPassword},
		{"PoolSize", s.testPoolSize},
		{"RefusesToStart", s.testRefusesToStart},
		{"StartsBeforeMigration", s.testStartsBeforeMigration},
		{"StartsWithoutDatabase", s.testStartsWithoutDatabase},
		{"SmallestPool", s.testSmallestPool},
		{"PgBouncerInSessionMode", s.testPgBouncerInSessionMode},
		{"PgBouncerInOtherModes", s.testPgBouncerInOtherModes},
		{"PgBouncerFoundLater", s.testPgBouncerFoundLater},
		{"Outages", s.testOutages},
		{"OwnFault", s.testOwnFault},
		{"LogThroughOutages", s.testLogThroughOutages},
		{"Overload", s.testOverload},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

// variable returns a variable with the service's prefix.
func (s Service) variable(name string) string { return variable(s.Define, name) }

func variable(define Define, name string) string {
	d := define()
	return d.Variable(name)
}

// unreachable returns the setting of a database that nothing listens for.
func (s Service) unreachable() string {
	return fmt.Sprintf("postgres://127.0.0.1:1/%s?sslmode=disable", s.Define().Name)
}

// newDatabase returns a migrated database with the service's rows.
func (s Service) newDatabase(t *testing.T) string {
	t.Helper()
	databaseURL := pgtest.New(t, s.Define().Migrate)
	s.fill(t, databaseURL)
	return databaseURL
}

func (s Service) fill(t *testing.T, databaseURL string) {
	t.Helper()
	if s.Fill != nil {
		s.Fill(t, databaseURL)
	}
}
