package server_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/httpjson/contract"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/scaffold/journal"
	"example.com/micromachine/pkg/scaffold/journal/internal/postgres"
	"example.com/micromachine/pkg/scaffold/journal/internal/server"
	migrations "example.com/micromachine/pkg/scaffold/journal/migrations/journal"
	"example.com/micromachine/pkg/service"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var description = contract.MustLoad(journal.OpenAPI)

// The names of the services and users. The certificate of package httptest is for example.com, so
// Census has this name.
const (
	base      = "https://journal.service/"
	censusURL = "https://example.com/"
	owner     = censusURL + "user/21/"
	other     = censusURL + "user/63/"
	newEntry  = `{"user":"` + censusURL + `user/42/","text":"Called back."}`
)

// api is a Journal with its own database, the Census that it calls, and its callers: shop may use
// both routes, reader may only read.
type api struct {
	handler      *chi.Mux
	pool         *pgxpool.Pool
	shop, reader *svcauthtest.Issuer
	census       *httptest.Server
	answer       atomic.Pointer[http.HandlerFunc] // of Census
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{
		pool:   pgtest.NewPool(t, pgtest.New(t, migrations.Up)),
		shop:   svcauthtest.NewIssuer(t, "https://shop.service/"),
		reader: svcauthtest.NewIssuer(t, "https://reader.service/"),
	}
	self := svcauthtest.NewIssuer(t, base)
	log := slog.New(slog.DiscardHandler)
	users := []string{censusURL + "user/*"}
	a.handler = server.New(server.Config{
		Store: postgres.New(a.pool), Census: a.startCensus(t, self, log),
		API: service.API{
			URL: base, Keys: self.Key, Logger: log,
			Verifier: svcauthtest.NewVerifier(t, base,
				svcauthtest.Trust{Issuer: a.shop, Allow: []string{"POST /entry/", "GET /entry/*"}, ActFor: users},
				svcauthtest.Trust{Issuer: a.reader, Allow: []string{"GET /entry/*"}, ActFor: users}),
		},
	})
	return a
}

// startCensus starts a Census that trusts Journal. User 21 may see user 42; everything else is
// forbidden.
func (a *api) startCensus(t *testing.T, self *svcauthtest.Issuer, log *slog.Logger) *censusclient.Client {
	t.Helper()
	a.censusAnswers(func(w http.ResponseWriter, r *http.Request) {
		if subject, _ := svcauth.SubjectFrom(r.Context()); subject != owner || r.URL.Path != "/user/42/" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"uri":%q}`, censusURL+"user/42/")
	})
	verifier := svcauthtest.NewVerifier(t, censusURL, svcauthtest.Trust{
		Issuer: self, Allow: []string{"GET /user/*"}, ActFor: []string{censusURL + "user/*"},
	})
	a.census = httptest.NewTLSServer(verifier.Require(0)(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { (*a.answer.Load())(w, r) })))
	t.Cleanup(a.census.Close)
	client, err := censusclient.New(censusclient.Config{
		URL: censusURL, Signer: self.Signer(), HTTPClient: a.census.Client(), Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// censusAnswers sets how Census answers from now on.
func (a *api) censusAnswers(handler http.HandlerFunc) { a.answer.Store(&handler) }

// call sends a signed request, and checks that openapi.yaml allows the answer. An empty body is
// none.
func (a *api) call(
	t *testing.T, by *svcauthtest.Issuer, subject svcauth.Subject, method, path, body string,
) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, strings.TrimSuffix(base, "/")+path, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	by.Sign(t, r, base, subject)
	answer := httptest.NewRecorder()
	a.handler.ServeHTTP(answer, r)
	if err := description.CheckAnswer(r, answer); err != nil {
		t.Error(err)
	}
	return answer
}

// create creates an entry for the owner and returns its path.
func (a *api) create(t *testing.T) (path string) {
	t.Helper()
	answer := a.call(t, a.shop, owner, http.MethodPost, "/entry/", newEntry)
	var created struct{ URI string }
	if err := json.Unmarshal(answer.Body.Bytes(), &created); err != nil || answer.Code != http.StatusCreated {
		t.Fatalf("POST: %d %s", answer.Code, answer.Body)
	}
	return strings.TrimPrefix(created.URI, strings.TrimSuffix(base, "/"))
}

// wantStored fails the test unless the database has that many entries.
func (a *api) wantStored(t *testing.T, want int) {
	t.Helper()
	var got int
	if err := a.pool.QueryRow(t.Context(), `select count(*) from journal_entries`).Scan(&got); err != nil || got != want {
		t.Errorf("%d entries are stored, want %d (%v)", got, want, err)
	}
}

// wantProblem fails the test unless the answer is a problem of that type.
func wantProblem(t *testing.T, answer *httptest.ResponseRecorder, status int, name string) (problem httpjson.Problem) {
	t.Helper()
	err := json.Unmarshal(answer.Body.Bytes(), &problem)
	if err != nil || answer.Code != status || !strings.HasSuffix(problem.Type, ":problem:"+name) {
		t.Errorf("status %d, %s; want %d, %s", answer.Code, answer.Body, status, name)
	}
	return problem
}

func TestDescriptionMatchesRoutes(t *testing.T) {
	t.Parallel()
	if err := description.CheckRoutes(t.Context(), newAPI(t).handler); err != nil {
		t.Error(err)
	}
}
