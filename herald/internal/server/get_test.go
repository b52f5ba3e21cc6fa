package server_test

import (
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/svcauth"
)

// created creates a notification for the reader.
func (a *api) created(t *testing.T) (n notification, id uuid.UUID) {
	t.Helper()
	answer := a.post(t, a.shop, reader, welcome)
	wantStatus(t, answer, http.StatusCreated)
	n = decode[notification](t, answer)
	return n, uuid.MustParse(path.Base(n.URI))
}

func TestGetShowsEachAttempt(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n, id := a.created(t)
	conclude := func(number int, result herald.Result, next *time.Time) {
		attempt := herald.Attempt{Number: number, StartedAt: time.Now(), Result: result}
		if err := a.store.Conclude(t.Context(), id, attempt, next, func(pgx.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	next := time.Now().Add(time.Minute).Truncate(time.Microsecond)
	conclude(0, herald.Result{Outcome: herald.Deferred, Detail: "Census could not be asked"}, &next)
	got := decode[notification](t, a.get(t, a.shop, reader, n.path()))
	if got.Status != "queued" || got.NextAttemptAt == nil || !got.NextAttemptAt.Equal(next) || len(got.Attempts) != 1 || !got.UpdatedAt.After(n.UpdatedAt) {
		t.Errorf("put off: %+v", got)
	}
	number, err := a.store.Begin(t.Context(), id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	got = decode[notification](t, a.get(t, a.shop, reader, n.path()))
	if got.Status != "sending" || got.NextAttemptAt != nil || len(got.Attempts) != 2 || got.Attempts[1].FinishedAt != nil || got.Attempts[1].Outcome != "" {
		t.Errorf("under way: %+v", got)
	}
	conclude(number, herald.Result{Outcome: herald.Unknown, Detail: "dropped"}, &next)
	if number, err = a.store.Begin(t.Context(), id, time.Now()); err != nil {
		t.Fatal(err)
	}
	conclude(number, herald.Result{Outcome: herald.Refused, SMTPCode: 550, Detail: "refused"}, nil)
	got = decode[notification](t, a.get(t, a.shop, reader, n.path()))
	if got.Status != "failed" || !got.PossibleDuplicate || len(got.Attempts) != 3 || got.Attempts[2].SMTPCode != 550 || got.Attempts[2].Detail != "refused" {
		t.Errorf("failed: %+v", got)
	}
}

// A notification is its creator's alone. To all others it is as if it were not.
func TestGetIsForTheCreator(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n, _ := a.created(t)
	wantStatus(t, a.get(t, a.another, reader, n.path()), http.StatusOK)
	wantStatus(t, a.session(t, reader, newRequest(http.MethodGet, n.path(), "")), http.StatusOK)
	absent := a.get(t, a.shop, reader, "/notification/"+uuid.NewString()+"/")
	wantProblem(t, absent, http.StatusNotFound, "notification-not-found", "")
	for who, answer := range map[string]*httptest.ResponseRecorder{
		"a stranger":             a.get(t, a.shop, stranger, n.path()),
		"the user":               a.get(t, a.shop, censusURL+"user/42/", n.path()),
		"the service itself":     a.get(t, a.shop, "https://shop.service/", n.path()),
		"the user by a session":  a.session(t, censusURL+"user/42/", newRequest(http.MethodGet, n.path(), "")),
		"the creator, no slash":  a.get(t, a.shop, svcauth.Subject(strings.TrimSuffix(reader, "/")), n.path()),
		"a stranger by sessions": a.session(t, stranger, newRequest(http.MethodGet, n.path(), "")),
	} {
		if answer.Code != absent.Code || answer.Body.String() != absent.Body.String() {
			t.Errorf("%s: %d %s, for an absent one %d %s", who, answer.Code, answer.Body, absent.Code, absent.Body)
		}
	}
}

func TestGetOfOtherIDs(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	_, id := a.created(t)
	for name, other := range map[string]string{
		"upper case":    strings.ToUpper(id.String()),
		"no hyphens":    strings.ReplaceAll(id.String(), "-", ""),
		"braces":        "{" + id.String() + "}",
		"URN":           "urn:uuid:" + id.String(),
		"too long":      id.String() + "0",
		"too short":     id.String()[:35],
		"number":        "1",
		"quote":         id.String()[:35] + "'",
		"the nil UUID":  uuid.Nil.String(),
		"encoded digit": "%30" + id.String()[1:],
	} {
		answer := httptest.NewRecorder()
		r := newRequest(http.MethodGet, "/notification/x/", "")
		r.URL.Path, r.URL.RawPath = "/notification/"+other+"/", ""
		if name == "encoded digit" {
			r = newRequest(http.MethodGet, "/notification/"+other+"/", "")
		}
		token, err := a.portal.Signer().SessionToken(base, reader)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("JWT", token)
		a.handler.ServeHTTP(answer, r)
		wantProblem(t, answer, http.StatusNotFound, "notification-not-found", "")
	}
}
