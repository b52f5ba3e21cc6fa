package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/micromachine/census"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	answer := a.send(t, newRequest(http.MethodGet, "/openapi.yaml", ""))
	wantStatus(t, answer, http.StatusOK)
	if answer.Body.String() != census.OpenAPI {
		t.Error("/openapi.yaml is not the embedded file")
	}
	answer = a.send(t, newRequest(http.MethodGet, "/.well-known/jwks.json", ""))
	wantStatus(t, answer, http.StatusOK)
	keys := decode[struct{ Keys []struct{ Kid, D string } }](t, answer).Keys
	if len(keys) != 1 || keys[0].Kid != a.portal.Key.ID() || keys[0].D != "" {
		t.Errorf("published keys: %s", answer.Body)
	}
}

// No route about users works without a token.
func TestNoToken(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, call := range []string{
		"GET /user/", "POST /user/", "GET /user/42/", "HEAD /user/42/", "PATCH /user/42/", "DELETE /user/42/",
		"PUT /user/42/viewer/21/", "DELETE /user/42/viewer/21/", "GET /user/99/",
	} {
		method, path, _ := strings.Cut(call, " ")
		answer := a.send(t, newRequest(method, path, ""))
		if answer.Code != http.StatusUnauthorized || answer.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: status %d", call, answer.Code)
		}
	}
}

func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for call, status := range map[string]int{
		"GET /":                      http.StatusNotFound,
		"GET /user":                  http.StatusNotFound,
		"GET /user/42":               http.StatusNotFound,
		"GET /user/21/../42/":        http.StatusNotFound,
		"GET //user/42/":             http.StatusNotFound,
		"GET /users/42/":             http.StatusNotFound,
		"GET /user/42/viewer/":       http.StatusNotFound,
		"PUT /user/42/":              http.StatusMethodNotAllowed,
		"POST /user/42/":             http.StatusMethodNotAllowed,
		"DELETE /user/":              http.StatusMethodNotAllowed,
		"GET /user/42/viewer/21/":    http.StatusMethodNotAllowed,
		"POST /openapi.yaml":         http.StatusMethodNotAllowed,
		"BREW /user/42/":             http.StatusMethodNotAllowed,
		"OPTIONS /user/42/":          http.StatusMethodNotAllowed,
		"PUT /.well-known/jwks.json": http.StatusMethodNotAllowed,
	} {
		method, path, _ := strings.Cut(call, " ")
		var answer *httptest.ResponseRecorder
		if method == "BREW" { // OpenAPI cannot describe this method
			answer = httptest.NewRecorder()
			a.handler.ServeHTTP(answer, newRequest(method, path, ""))
		} else {
			answer = a.call(t, a.office, admin, method, path, "")
		}
		if answer.Code != status || answer.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, want %d: %s", call, answer.Code, status, answer.Body)
		}
		if allow := answer.Header().Get("Allow"); (allow != "") != (status == http.StatusMethodNotAllowed) {
			t.Errorf("%s: Allow %q", call, allow)
		}
	}
}

// While the database is down, the response is 503 and does not contain the cause, which is logged.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.closeDatabase()
	answer := a.call(t, a.shop, subject, http.MethodGet, "/user/42/", "")
	wantProblem(t, answer, http.StatusServiceUnavailable, "unavailable", "")
	if answer.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(answer.Body.String(), "pool") || !strings.Contains(a.log.String(), "pool") {
		t.Errorf("the cause belongs into the log alone: %s", answer.Body)
	}
}

// The log of changes and refusals names the caller and the subject, and contains no mail address
// and no token.
func TestLog(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.call(t, a.office, admin, http.MethodPost, "/user/", `{"name":"New","email":"new@example.com"}`)
	a.call(t, a.office, admin, http.MethodPost, "/user/", `{"name":"New","email":"new@example.com"}`)
	a.call(t, a.office, admin, http.MethodPost, "/user/", `{"name":"New","email":"bad@example"}`)
	a.call(t, a.office, admin, http.MethodGet, "/user/?email=new%40example.com", "")
	a.call(t, a.office, admin, http.MethodGet, "/user/?email=bad%40example", "")
	a.call(t, a.shop, otherUser, http.MethodGet, "/user/42/", "")
	log := a.log.String()
	for _, want := range []string{
		`"location":"https://census.service/user/64/","caller":"https://office.service/","subject":"https://census.service/user/1/"`,
		`"path":"/user/42/","status":403`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not have %s:\n%s", want, log)
		}
	}
	for _, secret := range []string{"@example", "%40", "eyJ"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q:\n%s", secret, log)
		}
	}
}
