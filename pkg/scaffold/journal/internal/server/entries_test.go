package server_test

import (
	"net/http"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

func TestCreateAndGet(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	created := a.call(t, a.shop, owner, http.MethodPost, "/entry/", newEntry)
	location := created.Header().Get("Location")
	if created.Code != http.StatusCreated || !strings.HasPrefix(location, base+"entry/") {
		t.Fatalf("%d, Location %s: %s", created.Code, location, created.Body)
	}
	got := a.call(t, a.shop, owner, http.MethodGet, strings.TrimPrefix(location, strings.TrimSuffix(base, "/")), "")
	if got.Code != http.StatusOK || got.Body.String() != created.Body.String() {
		t.Errorf("GET answers %d %s, POST answered %s", got.Code, got.Body, created.Body)
	}
}

// Who may do what: the trust file decides about the service, Census about a new entry, and the
// owner alone reads an entry.
func TestAuthorisation(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := a.create(t)
	for _, row := range []struct {
		name      string
		by        *svcauthtest.Issuer
		subject   svcauth.Subject
		post, get int
	}{
		{"the owner", a.shop, owner, http.StatusCreated, http.StatusOK},
		{"the owner, by a service that may only read", a.reader, owner, http.StatusForbidden, http.StatusOK},
		{"another user", a.shop, other, http.StatusForbidden, http.StatusNotFound},
		{"another user, by a service that may only read", a.reader, other, http.StatusForbidden, http.StatusNotFound},
		{"a service for itself", a.shop, "https://shop.service/", http.StatusForbidden, http.StatusNotFound},
		{"another service", a.shop, "https://reader.service/", http.StatusForbidden, http.StatusForbidden},
		{"a user of another system", a.shop, "https://other.example/user/21/", http.StatusForbidden, http.StatusForbidden},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if answer := a.call(t, row.by, row.subject, http.MethodPost, "/entry/", newEntry); answer.Code != row.post {
				t.Errorf("POST: status %d, want %d: %s", answer.Code, row.post, answer.Body)
			}
			if answer := a.call(t, row.by, row.subject, http.MethodGet, path, ""); answer.Code != row.get {
				t.Errorf("GET: status %d, want %d: %s", answer.Code, row.get, answer.Body)
			}
		})
	}
}

// For another subject, an entry is like one that does not exist, byte for byte.
func TestAbsentIsLikeInvisible(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := a.create(t)
	invisible := a.call(t, a.shop, other, http.MethodGet, path, "")
	wantProblem(t, invisible, http.StatusNotFound, "entry-not-found")
	for _, absent := range []string{
		"/entry/00000000-0000-0000-0000-000000000000/", "/entry/42/", strings.ToUpper(path[:20]) + path[20:],
		strings.ReplaceAll(path, "-", ""),
	} {
		path := strings.Replace(absent, "/ENTRY/", "/entry/", 1)
		if got := a.call(t, a.shop, other, http.MethodGet, path, ""); got.Body.String() != invisible.Body.String() {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
}

func TestInvalidEntries(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const user = `"user":"` + censusURL + `user/42/"`
	for body, fields := range map[string]string{
		`{}`:                             "/text /user",
		`{"user":"42","text":""}`:        "/text /user",
		`{` + user + `,"text":" \n "}`:   "/text",
		`{` + user + `,"text":"\u0000"}`: "/text",
		`{` + user + `,"text":"` + strings.Repeat("a", 2001) + `"}`:    "/text",
		`{` + user + `,"text":null}`:                                   "/text",
		`{` + user + `,"text":"a","owner":"x"}`:                        "/owner",
		`{"user":"https://census.service/user/42/","text":"a"}`:        "/user",
		`{"user":"` + censusURL + `user/042/","text":"a"}`:             "/user",
		`{"user":"` + censusURL + `user/42/?a=b","text":"a"}`:          "/user",
		`{"user":["` + censusURL + `user/42/"],"text":"Called back."}`: "/user",
	} {
		problem := wantProblem(t, a.call(t, a.shop, owner, http.MethodPost, "/entry/", body),
			http.StatusUnprocessableEntity, "invalid-field")
		var got []string
		for _, fault := range problem.Errors {
			got = append(got, fault.Field)
		}
		if strings.Join(got, " ") != fields {
			t.Errorf("%.80s: faults in %v, want %s", body, got, fields)
		}
	}
	a.wantStored(t, 0)
}
