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
	"testing"

	"example.com/micromachine/census"
	"example.com/micromachine/census/internal/postgres"
	"example.com/micromachine/census/internal/server"
	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/service"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const base census.BaseURL = "https://census.service/"

// The users of these tests. 21 may see 42. 1 is an administrator. 63 has no rights. 99 does not
// exist.
const (
	admin       = 1
	reader      = 21
	subject     = 42
	otherUser   = 63
	missingUser = 99
)

// everything is every call that a caller can be allowed at Census.
var everything = []string{
	"GET /user/", "POST /user/", "GET /user/*", "PATCH /user/*", "DELETE /user/*", "PUT /user/*",
	"PUT /user/*/viewer/*", "DELETE /user/*/viewer/*",
}

// api is a Census with a new database, and its callers: office with the administrative power of
// users, shop without it, portal for session tokens.
type api struct {
	handler              http.Handler
	store                *postgres.Store
	office, shop, portal *svcauthtest.Issuer
	log                  *lockedBuffer
	closeDatabase        func()
}

func newAPI(tb testing.TB) *api {
	tb.Helper()
	pool := pgtest.NewPool(tb, pgtest.New(tb, migrations.Up))
	a := &api{
		store:         postgres.New(pool),
		office:        svcauthtest.NewIssuer(tb, "https://office.service/"),
		shop:          svcauthtest.NewIssuer(tb, "https://shop.service/"),
		portal:        svcauthtest.NewIssuer(tb, string(base)),
		log:           &lockedBuffer{},
		closeDatabase: pool.Close,
	}
	actFor := []string{string(base) + "user/*", "https://other.service/user/*", string(base) + "user/*/viewer/*"}
	a.handler = server.New(server.Config{
		Store: a.store,
		API: service.API{
			URL: string(base), Keys: a.portal.Key, Logger: slog.New(slog.NewJSONHandler(a.log, nil)),
			Verifier: svcauthtest.NewVerifier(tb, string(base),
				svcauthtest.Trust{Issuer: a.office, Allow: everything, ActFor: actFor, Admin: true},
				svcauthtest.Trust{Issuer: a.shop, Allow: everything, ActFor: actFor},
				svcauthtest.Trust{Issuer: a.portal, Sessions: true}),
		},
	})
	a.addUsers(tb)
	return a
}

func (a *api) addUsers(tb testing.TB) {
	tb.Helper()
	for _, id := range []int64{admin, reader, subject, otherUser} {
		if _, err := a.store.CreateUser(tb.Context(), census.Operator(), census.User{
			ID: id, Name: fmt.Sprintf("User %d", id), Email: fmt.Sprintf("user%d@example.com", id), Admin: id == admin,
		}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := a.store.AddViewer(tb.Context(), census.Operator(), subject, reader); err != nil {
		tb.Fatal(err)
	}
}

// newRequest returns a request with a JSON body, or with none.
func newRequest(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, strings.TrimSuffix(string(base), "/")+path, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// call makes a call on behalf of a user.
func (a *api) call(tb testing.TB, by *svcauthtest.Issuer, user int64, method, path, body string) *httptest.ResponseRecorder {
	tb.Helper()
	return a.callFor(tb, by, svcauth.Subject(base.UserURI(user)), newRequest(method, path, body))
}

func (a *api) callFor(tb testing.TB, by *svcauthtest.Issuer, subject svcauth.Subject, r *http.Request) *httptest.ResponseRecorder {
	tb.Helper()
	by.Sign(tb, r, string(base), subject)
	return a.send(tb, r)
}

// session makes a call with a session token of the user.
func (a *api) session(tb testing.TB, user int64, method, path, body string) *httptest.ResponseRecorder {
	tb.Helper()
	token, err := a.portal.Signer().SessionToken(tb.Context(), string(base), svcauth.Subject(base.UserURI(user)))
	if err != nil {
		tb.Fatal(err)
	}
	r := newRequest(method, path, body)
	r.Header.Set(svcauth.Header, token)
	return a.send(tb, r)
}

// send sends a request as it is, and checks that openapi.yaml allows the answer.
func (a *api) send(tb testing.TB, r *http.Request) *httptest.ResponseRecorder {
	tb.Helper()
	answer := httptest.NewRecorder()
	a.handler.ServeHTTP(answer, r)
	if err := description.CheckAnswer(r, answer); err != nil {
		tb.Error(err)
	}
	return answer
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

// wantProblem checks the status, the end of the problem's type, and the pointer to the first faulty
// member if one is wanted.
func wantProblem(tb testing.TB, answer *httptest.ResponseRecorder, status int, name, field string) {
	tb.Helper()
	problem := decode[httpjson.Problem](tb, answer)
	at := ""
	if len(problem.Errors) > 0 {
		at = problem.Errors[0].Field
	}
	if answer.Code != status || problem.Status != status || !strings.HasSuffix(problem.Type, ":problem:"+name) || at != field {
		tb.Errorf("status %d, %s; want %d, %q at %q", answer.Code, answer.Body, status, name, field)
	}
}

// user is a user as callers see it.
type user struct{ URI, Name, Email, Locale string }

// lockedBuffer is a log for concurrent writers.
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
