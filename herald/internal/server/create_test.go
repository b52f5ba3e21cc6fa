package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	asked := make(chan svcauth.Subject, 1)
	a.answersBy(func(w http.ResponseWriter, r *http.Request) {
		subject, _ := svcauth.SubjectFrom(r.Context())
		asked <- subject
		_, _ = w.Write([]byte(user42))
	})
	answer := a.post(t, a.another, reader, welcome)
	wantStatus(t, answer, http.StatusCreated)
	n := decode[notification](t, answer)
	if answer.Header().Get("Location") != n.URI || !strings.HasPrefix(n.URI, base+"notification/") ||
		n.User != censusURL+"user/42/" || n.Type != "welcome-message" || n.Status != "queued" || n.PossibleDuplicate ||
		time.Since(n.CreatedAt) > time.Minute || !n.UpdatedAt.Equal(n.CreatedAt) || n.NextAttemptAt != nil ||
		len(n.Attempts) != 0 {
		t.Errorf("created %+v, Location %s", n, answer.Header().Get("Location"))
	}
	if subject := <-asked; subject != reader {
		t.Errorf("Census was asked in the name of %s", subject)
	}
	a.wantStored(t, 1, 0)
	same := a.get(t, a.another, reader, n.path())
	if same.Body.String() != answer.Body.String() {
		t.Errorf("GET answers %s, POST did %s", same.Body, answer.Body)
	}
	if strings.Contains(answer.Body.String()+a.log.String(), "census.user@") {
		t.Errorf("the text contains the address: %s\n%s", answer.Body, a.log)
	}
}

func TestCreateBySession(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	answer := a.session(t, reader, newRequest(http.MethodPost, "/notification/", welcome))
	wantStatus(t, answer, http.StatusCreated)
	wantStatus(t, a.get(t, a.shop, reader, decode[notification](t, answer).path()), http.StatusOK)
}

func TestCensusRefuses(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.answers(http.StatusForbidden, "")
	wantProblem(t, a.post(t, a.shop, reader, welcome), http.StatusForbidden, "forbidden", "")
	a.answers(http.StatusNotFound, "")
	wantProblem(t, a.post(t, a.shop, reader, welcome), http.StatusUnprocessableEntity, "invalid-field", "/user")
	a.answers(http.StatusOK, user42) // but not for a service that acts for itself
	wantProblem(t, a.post(t, a.shop, "https://shop.service/", welcome), http.StatusForbidden, "forbidden", "")
	a.wantStored(t, 0, 0)
}

// TestCensusCannotAnswer checks that a notification is accepted while Census is unavailable.
func TestCensusCannotAnswer(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	statuses := []int{401, 429, 500, 502, 503, 302, 200}
	for _, status := range statuses {
		a.answers(status, "")
		wantStatus(t, a.post(t, a.shop, reader, welcome), http.StatusCreated)
	}
	a.census.CloseClientConnections()
	a.census.Close()
	wantStatus(t, a.post(t, a.shop, reader, welcome), http.StatusCreated)
	a.wantStored(t, len(statuses)+1, 0)
	if log := a.log.String(); strings.Count(log, "notification accepted before the user could be fetched") !=
		len(statuses)+1 || !strings.Contains(log, `"level":"ERROR","msg":"Census does not accept`) {
		t.Errorf("logged: %s", log)
	}
}

func TestCreateRefusesBodies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, row := range map[string]struct {
		body            string
		status          int
		problem, fields string
	}{
		"empty":                {" ", 400, "malformed-json", ""},
		"no JSON":              {"user=42", 400, "malformed-json", ""},
		"cut short":            {welcome[:20], 400, "malformed-json", ""},
		"trailing data":        {welcome + "{}", 400, "malformed-json", ""},
		"name given twice":     {strings.Replace(welcome, "{", `{"type":"welcome-message",`, 1), 400, "malformed-json", ""},
		"no UTF-8":             {strings.Replace(welcome, "welcome", "\xff", 1), 400, "malformed-json", ""},
		"list":                 {"[" + welcome + "]", 422, "invalid-field", ""},
		"null":                 {"null", 422, "invalid-field", ""},
		"unknown field":        {strings.Replace(welcome, "{", `{"extra":1,`, 1), 422, "invalid-field", "/extra"},
		"other case of a name": {strings.Replace(welcome, "user", "User", 1), 422, "invalid-field", "/User"},
		"number for a user":    {`{"user":42,"type":"welcome-message"}`, 422, "invalid-field", "/user"},
		"null for a type":      {strings.Replace(welcome, `"welcome-message"`, "null", 1), 422, "invalid-field", "/type"},
		"no user":              {`{"type":"welcome-message"}`, 422, "invalid-field", "/user"},
		"no type":              {`{"user":"` + censusURL + `user/42/"}`, 422, "invalid-field", "/type"},
		"nothing":              {`{}`, 422, "invalid-field", "/user /type"},
		"unknown type":         {strings.Replace(welcome, "welcome-message", "farewell", 1), 422, "invalid-field", "/type"},
		"type in capitals": {
			strings.Replace(welcome, "welcome-message", "Welcome-Message", 1), 422, "invalid-field",
			"/type",
		},
		"type with template": {
			strings.Replace(welcome, "welcome-message", "../welcome-message", 1), 422, "invalid-field",
			"/type",
		},
	} {
		if err := checkProblem(a.post(t, a.shop, reader, row.body), row.status, row.problem, row.fields); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.wantStored(t, 0, 0)
	if n := a.censusCalls.Load(); n != 0 {
		t.Errorf("Census was asked %d times", n)
	}
}

func TestCreateRefusesUsersElsewhere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, user := range map[string]string{
		"other host":        "https://evil.example/user/42/",
		"longer host":       "https://example.com.evil/user/42/",
		"subdomain":         "https://a.example.com/user/42/",
		"upper-case host":   "https://EXAMPLE.com/user/42/",
		"other port":        "https://example.com:8443/user/42/",
		"default port":      "https://example.com:443/user/42/",
		"no TLS":            "http://example.com/user/42/",
		"credentials":       "https://a:b@example.com/user/42/",
		"other after @":     "https://example.com@evil.example/user/42/",
		"backslash":         `https://example.com\\@evil.example/user/42/`,
		"dot segments":      "https://example.com/user/../user/42/",
		"dots at the end":   "https://example.com/user/42/..",
		"query":             "https://example.com/user/42/?x=1",
		"fragment":          "https://example.com/user/42/#x",
		"encoded slash":     "https://example.com/user%2f42/",
		"leading zeros":     "https://example.com/user/0042/",
		"no slash at last":  "https://example.com/user/42",
		"other resource":    "https://example.com/user/42/viewer/21/",
		"no ID":             "https://example.com/user//",
		"list of all":       "https://example.com/user/",
		"negative":          "https://example.com/user/-42/",
		"too large":         "https://example.com/user/92233720368547758080/",
		"newline":           `https://example.com/user/42/\n`,
		"header injection":  `https://example.com/user/42/\r\nJWT: x`,
		"relative":          "/user/42/",
		"file":              "file:///etc/passwd",
		"metadata service":  "http://169.254.169.254/user/42/",
		"loopback by octal": "https://0177.0.0.1/user/42/",
		"empty":             "",
	} {
		answer := a.post(t, a.shop, reader, `{"user":"`+user+`","type":"welcome-message"}`)
		if err := checkProblem(answer, http.StatusUnprocessableEntity, "invalid-field", "/user"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.wantStored(t, 0, 0)
	if n := a.censusCalls.Load(); n != 0 {
		t.Errorf("Census was asked %d times", n)
	}
}

func TestCreateRefusesMediaTypes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, contentType := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1",
		"application/merge-patch+json", "application/jsonp", "application/json, text/plain",
	} {
		r := newRequest(http.MethodPost, "/notification/", welcome)
		r.Header.Set("Content-Type", contentType)
		wantProblem(t, a.call(t, a.shop, reader, r), http.StatusUnsupportedMediaType, "unsupported-media-type", "")
	}
	wantProblem(t, a.post(t, a.shop, reader, welcome, "Content-Encoding", "gzip"), http.StatusUnsupportedMediaType,
		"unsupported-media-type", "")
	r := newRequest(http.MethodPost, "/notification/", welcome)
	r.Header.Set("Content-Type", "application/json; charset=UTF-8")
	wantStatus(t, a.call(t, a.shop, reader, r), http.StatusCreated)
	a.wantStored(t, 1, 0)
}

func TestCreateRefusesLargeBodies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	padded := welcome + strings.Repeat(" ", 16<<10-len(welcome))
	wantStatus(t, a.post(t, a.shop, reader, padded), http.StatusCreated)
	wantProblem(t, a.post(t, a.shop, reader, padded+" "), http.StatusRequestEntityTooLarge, "body-too-large", "")
	wantProblem(t, a.session(t, reader, newRequest(http.MethodPost, "/notification/", padded+" ")),
		http.StatusRequestEntityTooLarge, "body-too-large", "")
	a.wantStored(t, 1, 0)
}

// TestCreateRefusesCallers checks that calls that the trust file does not allow have no effect.
func TestCreateRefusesCallers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	unknown := svcauthtest.NewIssuer(t, "https://unknown.service/")
	wantProblem(t, a.post(t, unknown, reader, welcome), http.StatusUnauthorized, "invalid-token", "")
	wantProblem(t, a.send(t, newRequest(http.MethodPost, "/notification/", welcome)), http.StatusUnauthorized,
		"invalid-token", "")
	wantProblem(t, a.post(t, a.shop, "https://census.service.evil/user/21/", welcome), http.StatusForbidden,
		"not-allowed", "")
	wantProblem(t, a.post(t, a.another, "https://shop.service/", welcome), http.StatusForbidden, "not-allowed", "")
	changed := newRequest(http.MethodPost, "/notification/", welcome)
	a.shop.Sign(t, changed, base, reader)
	changed.Body = newRequest(http.MethodPost, "/", strings.Replace(welcome, "42", "43", 1)).Body
	wantProblem(t, a.send(t, changed), http.StatusUnauthorized, "invalid-token", "")
	a.wantStored(t, 0, 0)
	if n := a.censusCalls.Load(); n != 0 {
		t.Errorf("Census was asked %d times", n)
	}
}

// TestCreateFails checks that a failed transaction is an internal error and stores nothing.
func TestCreateFails(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const noJobs = `alter table river_job add constraint no_jobs check (kind <> 'delivery')`
	if _, err := a.pool.Exec(t.Context(), noJobs); err != nil {
		t.Fatal(err)
	}
	answer := a.post(t, a.shop, reader, welcome, "Idempotency-Key", "key")
	wantProblem(t, answer, http.StatusInternalServerError, "internal", "")
	a.wantStored(t, 0, 0)
	if strings.Contains(answer.Body.String(), "no_jobs") || !strings.Contains(a.log.String(), "no_jobs") {
		t.Errorf("the cause must appear in the log only: %s", answer.Body)
	}
}
