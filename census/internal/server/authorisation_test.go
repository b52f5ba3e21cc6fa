package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A client makes calls: a service on behalf of a user, or, without a service, the user in person
// with a session token.
type client struct {
	service func(*api) *svcauthtest.Issuer
	user    int64
}

func (c client) call(t *testing.T, a *api, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	if c.service == nil {
		return a.session(t, c.user, method, path, body)
	}
	return a.call(t, c.service(a), c.user, method, path, body)
}

func office(a *api) *svcauthtest.Issuer { return a.office }
func shop(a *api) *svcauthtest.Issuer   { return a.shop }

func TestAuthorisation(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		what   string
		client client
		id     int64
		// The statuses of GET, PATCH, PUT of a viewer and DELETE of user id, and of GET and POST of
		// all users.
		get, patch, viewer, remove, list, create int
	}{
		{"own record", client{shop, subject}, subject, 200, 200, 204, 204, 403, 403},
		{"own record, by office", client{office, subject}, subject, 200, 200, 204, 204, 403, 403},
		{"own record, by session", client{nil, subject}, subject, 200, 200, 204, 204, 403, 403},
		{"a viewer", client{shop, reader}, subject, 200, 403, 403, 403, 403, 403},
		{"a viewer, by session", client{nil, reader}, subject, 200, 403, 403, 403, 403, 403},
		{"a viewed user", client{shop, subject}, reader, 403, 403, 403, 403, 403, 403},
		{"another user", client{shop, otherUser}, subject, 403, 403, 403, 403, 403, 403},
		{"another user, by office", client{office, otherUser}, subject, 403, 403, 403, 403, 403, 403},
		{"another user, missing record", client{office, otherUser}, missingUser, 403, 403, 403, 403, 403, 403},
		{"an admin, by office", client{office, admin}, subject, 200, 200, 204, 204, 200, 201},
		{"an admin, by session", client{nil, admin}, subject, 200, 200, 204, 204, 200, 201},
		{"an admin, by shop", client{shop, admin}, subject, 403, 403, 403, 403, 403, 403},
		{"an admin, by shop, own record", client{shop, admin}, admin, 200, 200, 204, 204, 403, 403},
		{"an admin, by office, missing record", client{office, admin}, missingUser, 404, 404, 404, 404, 200, 201},
		{"an admin, by shop, missing record", client{shop, admin}, missingUser, 403, 403, 403, 403, 403, 403},
		{"a missing user", client{office, missingUser}, subject, 403, 403, 403, 403, 403, 403},
		{"a missing user, own record", client{office, missingUser}, missingUser, 403, 403, 403, 403, 403, 403},
		{"a missing user, by session", client{nil, missingUser}, missingUser, 403, 403, 403, 403, 403, 403},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			path := fmt.Sprintf("/user/%d/", row.id)
			for _, step := range []struct {
				method, path, body string
				want               int
			}{
				{http.MethodGet, path, "", row.get},
				{http.MethodHead, path, "", row.get},
				{http.MethodGet, "/user/", "", row.list},
				{http.MethodPost, "/user/", `{"name":"New","email":"new@example.com"}`, row.create},
				{http.MethodPatch, path, `{"name":"Changed"}`, row.patch},
				{http.MethodPut, path + "viewer/63/", "", row.viewer},
				{http.MethodDelete, path + "viewer/63/", "", row.viewer},
				{http.MethodDelete, path, "", row.remove},
			} {
				answer := row.client.call(t, a, step.method, step.path, step.body)
				if answer.Code != step.want {
					t.Errorf("%s %s: status %d, want %d: %s", step.method, step.path, answer.Code, step.want, answer.Body)
				}
			}
		})
	}
}

// The trust file limits a service to the subjects of its entry, whatever the user may do.
func TestTrustFileDecidesFirst(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	answer := a.callFor(t, a.shop, "https://census.service/", newRequest(http.MethodGet, "/user/42/", ""))
	wantProblem(t, answer, http.StatusForbidden, "not-allowed", "")
	answer = a.callFor(t, a.shop, svcauth.Subject(a.shop.URL), newRequest(http.MethodGet, "/user/42/", ""))
	wantProblem(t, answer, http.StatusForbidden, "forbidden", "")
}

// A caller who may not see a user gets the same response for a user who does not exist, with every
// method and every spelling of the ID.
func TestAbsentIsLikeInvisible(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, caller := range []client{{shop, otherUser}, {office, otherUser}, {shop, admin}, {nil, otherUser}, {shop, missingUser}} {
		for _, call := range []struct{ method, path, body string }{
			{http.MethodGet, "/user/%s/", ""},
			{http.MethodHead, "/user/%s/", ""},
			{http.MethodPatch, "/user/%s/", `{"name":"Changed"}`},
			{http.MethodPatch, "/user/%s/", `{"email":"user21@example.com"}`},
			{http.MethodDelete, "/user/%s/", ""},
			{http.MethodPut, "/user/%s/viewer/63/", ""},
			{http.MethodPut, "/user/%s/viewer/99/", ""},
			{http.MethodDelete, "/user/%s/viewer/63/", ""},
		} {
			invisible := caller.call(t, a, call.method, fmt.Sprintf(call.path, "42"), call.body)
			wantStatus(t, invisible, http.StatusForbidden)
			for _, id := range []string{"99", "0", "042", "999999999999999", "9999999999999999999999", "nobody", "4_2", "+42"} {
				got := caller.call(t, a, call.method, fmt.Sprintf(call.path, id), call.body)
				if got.Code != invisible.Code || got.Body.String() != invisible.Body.String() ||
					!maps.EqualFunc(got.Header(), invisible.Header(),
						func(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
					t.Errorf("%+v, %s, user %s: %d %v %s; user 42: %d %v %s", caller, call.method, id,
						got.Code, got.Header(), got.Body, invisible.Code, invisible.Header(), invisible.Body)
				}
			}
		}
	}
}

// A subject that is not exactly a user's URI has no rights, even if it resembles the URI of a user
// and the trust file allows it.
func TestForeignSubjects(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, by := range []*svcauthtest.Issuer{a.office, a.shop} {
		for _, subject := range []svcauth.Subject{
			"https://census.service/user/021/",
			"https://census.service/user/21",
			"https://census.service/user/+21/",
			"https://census.service/user/21;a=b/",
			"https://census.service/user/21/../22/",
			"https://census.service/user/21/viewer/22/",
			"https://census.service/user/21/?a=b",
			"https://census.service/user/%32%31/",
			"https://census.service/user//21/",
			"https://census.service:443/user/21/",
			"https://other.service/user/21/",
			"https://census.service.evil/user/21/",
			"https://CENSUS.service/user/21/",
			"http://census.service/user/21/",
			"/user/21",
			"/user/21/",
			"21",
		} {
			answer := a.callFor(t, by, subject, newRequest(http.MethodGet, "/user/21/", ""))
			if answer.Code != http.StatusForbidden {
				t.Errorf("%s for %q: status %d: %s", by.URL, subject, answer.Code, answer.Body)
			}
		}
		wantStatus(t, a.call(t, by, reader, http.MethodGet, "/user/21/", ""), http.StatusOK)
	}
}

// A deleted user loses all rights at once, with every kind of token.
func TestDeletedUser(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	wantStatus(t, a.session(t, reader, http.MethodGet, "/user/42/", ""), http.StatusOK)
	wantStatus(t, a.call(t, a.office, admin, http.MethodDelete, "/user/21/", ""), http.StatusNoContent)
	for _, caller := range []client{{nil, reader}, {shop, reader}, {office, reader}} {
		for _, path := range []string{"/user/21/", "/user/42/", "/user/"} {
			wantStatus(t, caller.call(t, a, http.MethodGet, path, ""), http.StatusForbidden)
		}
	}
	wantStatus(t, a.call(t, a.office, admin, http.MethodDelete, "/user/1/", ""), http.StatusNoContent)
	wantStatus(t, a.call(t, a.office, admin, http.MethodGet, "/user/", ""), http.StatusForbidden)
	answer := a.session(t, admin, http.MethodPost, "/user/", `{"name":"New","email":"new@example.com"}`)
	wantStatus(t, answer, http.StatusForbidden)
}
