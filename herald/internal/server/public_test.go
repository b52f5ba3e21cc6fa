package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/svcauth/keys"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	answer := a.send(t, newRequest(http.MethodGet, "/openapi.yaml", ""))
	wantStatus(t, answer, http.StatusOK)
	if answer.Body.String() != herald.OpenAPI {
		t.Error("/openapi.yaml is not the embedded file")
	}
	answer = a.send(t, newRequest(http.MethodGet, "/"+keys.JWKSPath, ""))
	wantStatus(t, answer, http.StatusOK)
	keys := decode[struct{ Keys []struct{ Kid, D string } }](t, answer).Keys
	if len(keys) != 1 || keys[0].Kid == "" || keys[0].D != "" {
		t.Errorf("published keys: %s", answer.Body)
	}
}

func TestNoToken(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n, _ := a.created(t)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		wantStatus(t, a.send(t, newRequest(method, n.path(), "")), http.StatusUnauthorized)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n, _ := a.created(t)
	wantStatus(t, a.call(t, a.shop, reader, newRequest(http.MethodHead, n.path(), "")), http.StatusOK)
}

func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	id := uuid.NewString()
	for call, status := range map[string]int{
		"GET /":                              http.StatusNotFound,
		"POST /notification":                 http.StatusNotFound,
		"GET /notification/" + id:            http.StatusNotFound,
		"GET /notification/" + id + "/mail/": http.StatusNotFound,
		"GET /notification/":                 http.StatusMethodNotAllowed,
		"PUT /notification/":                 http.StatusMethodNotAllowed,
		"DELETE /notification/" + id + "/":   http.StatusMethodNotAllowed,
		"POST /openapi.yaml":                 http.StatusMethodNotAllowed,
	} {
		method, path, _ := strings.Cut(call, " ")
		answer := a.send(t, newRequest(method, path, ""))
		if answer.Code != status || answer.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, want %d: %s", call, answer.Code, status, answer.Body)
		}
		if allow := answer.Header().Get("Allow"); (allow != "") != (status == http.StatusMethodNotAllowed) {
			t.Errorf("%s: Allow %q", call, allow)
		}
	}
}

// What is logged says who asked for what, and no token or mail address.
func TestLog(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n, _ := a.created(t)
	a.get(t, a.shop, reader, n.path())
	a.get(t, a.shop, otherUser, n.path())
	log := a.log.String()
	for _, want := range []string{
		`"location":"` + n.URI + `","caller":"https://shop.service/","subject":"` + reader + `"`,
		`"path":"` + n.path() + `","status":404`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not have %s:\n%s", want, log)
		}
	}
	if lines := strings.Count(log, "\n"); lines != 2 || strings.Contains(log, "eyJ") {
		t.Errorf("logged: %s", log)
	}
}
