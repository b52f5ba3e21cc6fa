package server_test

import (
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/postgres"
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
	conclude := func(e postgres.Execution, result herald.Result) {
		c := postgres.Conclusion{
			Execution: e, NotificationID: id, Result: result, RetryAfter: time.Minute, GiveUpAfter: time.Hour,
		}
		if concluded, err := a.store.Conclude(t.Context(), c); err != nil || !concluded.Owned {
			t.Fatalf("%+v, %v", concluded, err)
		}
	}
	conclude(a.fetch(t), herald.Result{Outcome: herald.Deferred, Detail: "Census could not be asked"})
	got := decode[notification](t, a.get(t, a.shop, reader, n.path()))
	if got.Status != "queued" || got.NextAttemptAt == nil || !got.NextAttemptAt.After(time.Now()) || len(got.Attempts) != 1 || !got.UpdatedAt.After(n.UpdatedAt) {
		t.Errorf("put off: %+v", got)
	}
	under := a.fetch(t)
	got = decode[notification](t, a.get(t, a.shop, reader, n.path()))
	if got.Status != "sending" || got.NextAttemptAt != nil || len(got.Attempts) != 2 || got.Attempts[1].FinishedAt != nil || got.Attempts[1].Outcome != "" {
		t.Errorf("under way: %+v", got)
	}
	conclude(under, herald.Result{Outcome: herald.Unknown, Detail: "dropped"})
	conclude(a.fetch(t), herald.Result{Outcome: herald.Refused, SMTPCode: 550, Detail: "refused"})
	got = decode[notification](t, a.get(t, a.shop, reader, n.path()))
	if got.Status != "failed" || !got.PossibleDuplicate || len(got.Attempts) != 3 || got.Attempts[2].SMTPCode != 550 || got.Attempts[2].Detail != "refused" {
		t.Errorf("failed: %+v", got)
	}
}

// fetch takes the one job, as a worker does.
func (a *api) fetch(t *testing.T) postgres.Execution {
	t.Helper()
	e := postgres.Execution{Process: "worker"}
	err := a.pool.QueryRow(t.Context(), `
		update river_job set state = 'running', attempt = attempt + 1, attempted_at = now(),
			attempted_by = array_append(attempted_by, 'worker')
		where state = 'available' returning id, attempt, attempted_at`).Scan(&e.Job, &e.Number, &e.StartedAt)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Only the creator can see a notification. All others get the same answer as for a notification
// that does not exist.
func TestGetIsForTheCreator(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n, _ := a.created(t)
	wantStatus(t, a.get(t, a.another, reader, n.path()), http.StatusOK)
	wantStatus(t, a.session(t, reader, newRequest(http.MethodGet, n.path(), "")), http.StatusOK)
	missing := a.get(t, a.shop, reader, "/notification/"+uuid.NewString()+"/")
	wantProblem(t, missing, http.StatusNotFound, "notification-not-found", "")
	for who, answer := range map[string]*httptest.ResponseRecorder{
		"another user":              a.get(t, a.shop, otherUser, n.path()),
		"the user":                  a.get(t, a.shop, censusURL+"user/42/", n.path()),
		"the service itself":        a.get(t, a.shop, "https://shop.service/", n.path()),
		"the user by a session":     a.session(t, censusURL+"user/42/", newRequest(http.MethodGet, n.path(), "")),
		"the creator, no slash":     a.get(t, a.shop, svcauth.Subject(strings.TrimSuffix(reader, "/")), n.path()),
		"another user by a session": a.session(t, otherUser, newRequest(http.MethodGet, n.path(), "")),
	} {
		if answer.Code != missing.Code || answer.Body.String() != missing.Body.String() {
			t.Errorf("%s: %d %s, for a missing one %d %s", who, answer.Code, answer.Body, missing.Code, missing.Body)
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
		token, err := a.portal.Signer().SessionToken(t.Context(), base, reader)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("JWT", token)
		a.handler.ServeHTTP(answer, r)
		wantProblem(t, answer, http.StatusNotFound, "notification-not-found", "")
	}
}
