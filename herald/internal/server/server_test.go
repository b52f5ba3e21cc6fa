package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/postgres"
	"example.com/micromachine/herald/internal/server"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/service"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// The names of the services and users. httptest's certificate is for example.com, so Census has
// this name.
const (
	base      = "https://herald.service/"
	censusURL = "https://example.com/"
	reader    = censusURL + "user/21/"
	otherUser = censusURL + "user/63/"
	welcome   = `{"user":"` + censusURL + `user/42/","type":"welcome-message"}`
	user42    = `{"uri":"` + censusURL + `user/42/","name":"Census User","email":"census.user@example.com","locale":"en"}`
)

// api is a Herald with its own database, the Census that it calls, and its callers: another signs
// article tokens, shop signs bound tokens, portal issues session tokens.
type api struct {
	handler               *chi.Mux
	pool                  *pgxpool.Pool
	store                 *postgres.Store
	another, shop, portal *svcauthtest.Issuer
	log                   *lockedBuffer

	census      *httptest.Server
	answer      atomic.Pointer[http.HandlerFunc] // of Census
	censusCalls atomic.Int32
}

func newAPI(tb testing.TB) *api {
	tb.Helper()
	a := &api{
		another: svcauthtest.NewArticleIssuer(tb, "https://another.service/"),
		shop:    svcauthtest.NewIssuer(tb, "https://shop.service/"),
		portal:  svcauthtest.NewIssuer(tb, censusURL),
		log:     &lockedBuffer{},
	}
	log := slog.New(slog.NewJSONHandler(a.log, nil))
	a.pool = pgtest.NewPool(tb, pgtest.New(tb, migrations.Up))
	a.store = postgres.New(a.pool, postgres.NewProcess())
	self := svcauthtest.NewIssuer(tb, base)
	users := []string{censusURL + "user/*"}
	calls := []string{"POST /notification/", "GET /notification/*"}
	a.handler = server.New(server.Config{
		Store: a.store, Census: a.startCensus(tb, self, log),
		API: service.API{
			URL: base, Keys: self.Key, Logger: log,
			Verifier: svcauthtest.NewVerifier(tb, base,
				svcauthtest.Trust{Issuer: a.another, Allow: calls, ActFor: users},
				svcauthtest.Trust{Issuer: a.shop, Allow: calls, ActFor: users},
				svcauthtest.Trust{Issuer: a.portal, Sessions: true}),
		},
	})
	return a
}

// startCensus starts a Census that trusts Herald and answers as set by answers and answersBy.
func (a *api) startCensus(tb testing.TB, self *svcauthtest.Issuer, log *slog.Logger) *censusclient.Client {
	tb.Helper()
	verifier := svcauthtest.NewVerifier(tb, censusURL, svcauthtest.Trust{
		Issuer: self, Allow: []string{"GET /user/*"}, ActFor: []string{censusURL + "user/*"},
	})
	a.answers(http.StatusOK, user42)
	a.census = httptest.NewTLSServer(verifier.Require(0)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.censusCalls.Add(1)
		(*a.answer.Load())(w, r)
	})))
	tb.Cleanup(a.census.Close)
	client, err := censusclient.New(censusclient.Config{URL: censusURL, Signer: self.Signer(), HTTPClient: a.census.Client(), Logger: log})
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

// answers sets what Census answers from now on.
func (a *api) answers(status int, body string) {
	a.answersBy(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

func (a *api) answersBy(handler http.HandlerFunc) { a.answer.Store(&handler) }

// newRequest returns a request with a JSON body, or without a body if it is empty.
func newRequest(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, strings.TrimSuffix(base, "/")+path, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// post requests a notification. headers are alternating names and values.
func (a *api) post(tb testing.TB, by *svcauthtest.Issuer, subject svcauth.Subject, body string, headers ...string) *httptest.ResponseRecorder {
	tb.Helper()
	r := newRequest(http.MethodPost, "/notification/", body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return a.call(tb, by, subject, r)
}

func (a *api) get(tb testing.TB, by *svcauthtest.Issuer, subject svcauth.Subject, path string) *httptest.ResponseRecorder {
	tb.Helper()
	return a.call(tb, by, subject, newRequest(http.MethodGet, path, ""))
}

func (a *api) call(tb testing.TB, by *svcauthtest.Issuer, subject svcauth.Subject, r *http.Request) *httptest.ResponseRecorder {
	tb.Helper()
	by.Sign(tb, r, base, subject)
	return a.send(tb, r)
}

// send sends a request without signing it, and checks that openapi.yaml allows the answer.
func (a *api) send(tb testing.TB, r *http.Request) *httptest.ResponseRecorder {
	tb.Helper()
	answer := httptest.NewRecorder()
	a.handler.ServeHTTP(answer, r)
	if err := description.CheckAnswer(r, answer); err != nil {
		tb.Error(err)
	}
	return answer
}

// session makes a call with a session token of the user.
func (a *api) session(tb testing.TB, user svcauth.Subject, r *http.Request) *httptest.ResponseRecorder {
	tb.Helper()
	token, err := a.portal.Signer().SessionToken(tb.Context(), base, user)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set(svcauth.Header, token)
	return a.send(tb, r)
}

// wantStored fails the test unless the database has exactly that many notifications, as many jobs,
// and exactly that many idempotency keys.
func (a *api) wantStored(tb testing.TB, notifications, keys int) {
	tb.Helper()
	for table, want := range map[string]int{"notifications": notifications, "river_job": notifications, "idempotency_keys": keys} {
		var got int
		if err := a.pool.QueryRow(tb.Context(), `select count(*) from `+table).Scan(&got); err != nil || got != want {
			tb.Errorf("%d rows in %s, want %d (%v)", got, table, want, err)
		}
	}
}

func wantStatus(tb testing.TB, answer *httptest.ResponseRecorder, status int) {
	tb.Helper()
	if answer.Code != status {
		tb.Fatalf("status %d, want %d: %s", answer.Code, status, answer.Body)
	}
}

func decode[T any](tb testing.TB, answer *httptest.ResponseRecorder) T {
	tb.Helper()
	var v T
	if err := json.Unmarshal(answer.Body.Bytes(), &v); err != nil {
		tb.Fatalf("%v: %s", err, answer.Body)
	}
	return v
}

// wantProblem checks the status, the end of the problem's type, and the pointers to the faulty
// members, separated by spaces.
func wantProblem(tb testing.TB, answer *httptest.ResponseRecorder, status int, name, fields string) {
	tb.Helper()
	if err := checkProblem(answer, status, name, fields); err != nil {
		tb.Error(err)
	}
}

func checkProblem(answer *httptest.ResponseRecorder, status int, name, fields string) error {
	var problem httpjson.Problem
	if err := json.Unmarshal(answer.Body.Bytes(), &problem); err != nil {
		return fmt.Errorf("status %d, %s: %w", answer.Code, answer.Body, err)
	}
	var at []string
	for _, e := range problem.Errors {
		at = append(at, e.Field)
	}
	if answer.Code != status || problem.Status != status || !strings.HasSuffix(problem.Type, ":problem:"+name) || strings.Join(at, " ") != fields {
		return fmt.Errorf("status %d, %s; want %d, %q at %q", answer.Code, answer.Body, status, name, fields)
	}
	return nil
}

// notification is a notification as Herald's API returns it.
type notification struct {
	URI, User, Type, Status string
	PossibleDuplicate       bool       `json:"possible_duplicate"`
	CreatedAt               time.Time  `json:"created_at"`
	UpdatedAt               time.Time  `json:"updated_at"`
	NextAttemptAt           *time.Time `json:"next_attempt_at"`
	Attempts                []struct {
		Number     int            `json:"number"`
		StartedAt  time.Time      `json:"started_at"`
		FinishedAt *time.Time     `json:"finished_at"`
		Outcome    herald.Outcome `json:"outcome"`
		SMTPCode   int            `json:"smtp_code"`
		Detail     string         `json:"detail"`
	} `json:"attempts"`
}

func (n notification) path() string { return "/" + strings.TrimPrefix(n.URI, base) }

// lockedBuffer is a log buffer. It is safe for concurrent use.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
