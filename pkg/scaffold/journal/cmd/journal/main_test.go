package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/micromachine/pkg/service/servicetest"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

func TestMain(m *testing.M) { servicetest.Main(m, definition) }

// The URLs of Journal and Census in these tests. Package httptest has a certificate for both.
const (
	name       = "https://journal.example.com/"
	censusName = "https://census.example.com/"
	newEntry   = `{"user":"` + censusName + `user/42/","text":"Called back."}`
)

// newWorld prepares a Journal that the service shop may call on behalf of user 21, and a Census.
func newWorld(t *testing.T, databaseURL string) *servicetest.World {
	t.Helper()
	census := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"uri":%q}`, censusName+strings.TrimPrefix(r.URL.Path, "/"))
	}))
	t.Cleanup(census.Close)
	w := &servicetest.World{
		Define: definition, URL: name, DatabaseURL: databaseURL, Subject: censusName + "user/21/",
		Trust: svcauthtest.Trust{
			Issuer: svcauthtest.NewIssuer(t, "https://shop.service/"),
			Allow:  []string{"POST /entry/", "GET /entry/*"}, ActFor: []string{censusName + "user/*"},
		},
	}
	w.Prepare(t)
	w.Set("CENSUS_URL", censusName)
	w.Set("CONNECT_TO", "census.example.com:443:"+census.Listener.Addr().String())
	w.Set("CA_FILE", w.CAFile)
	return w
}

// create creates an entry and returns its path.
func create(t *testing.T, s *servicetest.System) (path string) {
	t.Helper()
	return s.Create(t, "entry/", newEntry)
}

// Journal does what every service must do.
func TestService(t *testing.T) {
	servicetest.Service{
		Define: definition, NewWorld: newWorld,
		Read: create, ReadPath: "entry/019aa2b1-5c3e-7d10-9f0a-3b6d1c2e4f50/",
		WritePath: "entry/", WriteBody: newEntry, Written: http.StatusCreated, Table: "journal_entries",
		Overload: servicetest.Overload{
			Lock: "journal_entries in share mode", Method: http.MethodPost, Path: "entry/", Body: newEntry,
			Sent: 300, Limit: 256, Status: http.StatusCreated,
			Beside: map[string]int{"openapi.yaml": http.StatusOK},
		},
		Faults: []servicetest.Faults{{
			Command: "serve", Environ: "JOURNAL_CENSUS_URL=http://census.service/ JOURNAL_URL=journal",
			Lines: []string{
				"JOURNAL_CENSUS_URL: must be an https URL", "JOURNAL_TLS_CERT_FILE: not set", "JOURNAL_TLS_KEY_FILE: not set",
				"JOURNAL_KEY_FILE: not set", "JOURNAL_TRUST_FILE: not set", "JOURNAL_DATABASE_URL: not set", "JOURNAL_URL: must be",
			},
		}},
		Readme: "../../README.md",
	}.Test(t)
}
