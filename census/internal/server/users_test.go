package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"example.com/micromachine/census"
)

func TestGetUser(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	answer := a.call(t, a.shop, reader, http.MethodGet, "/user/42/", "")
	wantStatus(t, answer, http.StatusOK)
	want := `{"uri":"https://census.service/user/42/","name":"User 42","email":"user42@example.com","locale":"en"}` + "\n"
	if answer.Body.String() != want {
		t.Errorf("got %s, want %s", answer.Body, want)
	}
}

func TestCreateUser(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	body := `{"name":" Zoë ","email":"Zoe@EXAMPLE.com","locale":"de-at"}`
	answer := a.call(t, a.office, admin, http.MethodPost, "/user/", body)
	wantStatus(t, answer, http.StatusCreated)
	want := user{"https://census.service/user/64/", "Zoë", "Zoe@example.com", "de-AT"}
	if got := decode[user](t, answer); got != want || answer.Header().Get("Location") != want.URI {
		t.Errorf("got %+v at %q, want %+v", got, answer.Header().Get("Location"), want)
	}
	if got := decode[user](t, a.call(t, a.shop, 64, http.MethodGet, "/user/64/", "")); got != want {
		t.Errorf("read back: %+v, want %+v", got, want)
	}
	// A new user is not an administrator.
	wantStatus(t, a.session(t, 64, http.MethodGet, "/user/", ""), http.StatusForbidden)
}

func TestUpdateUser(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for body, want := range map[string]user{
		`{"locale":"de"}`: {"https://census.service/user/42/", "User 42", "user42@example.com", "de"},
		`{}`:              {"https://census.service/user/42/", "User 42", "user42@example.com", "en"},
		`{"name":"A","email":"a@example.com","locale":"fr"}`: {"https://census.service/user/42/", "A", "a@example.com", "fr"},
		`{"email":"USER42@example.com"}`:                     {"https://census.service/user/42/", "User 42", "USER42@example.com", "en"},
	} {
		answer := a.call(t, a.shop, subject, http.MethodPatch, "/user/42/", body)
		wantStatus(t, answer, http.StatusOK)
		if got := decode[user](t, answer); got != want {
			t.Errorf("PATCH %s: %+v, want %+v", body, got, want)
		}
		original := `{"name":"User 42","email":"user42@example.com","locale":"en"}`
		a.call(t, a.shop, subject, http.MethodPatch, "/user/42/", original)
	}
}

// POST and PATCH reject these bodies, each with its own problem, and change nothing in the
// database.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	before := a.call(t, a.office, admin, http.MethodGet, "/user/", "").Body.String()
	for body, want := range map[string]struct {
		status int
		name   string
		field  string
	}{
		``:                                      {415, "unsupported-media-type", ""},
		` `:                                     {400, "malformed-json", ""},
		`{`:                                     {400, "malformed-json", ""},
		`{"name":"N","email":"n@example.com"}}`: {400, "malformed-json", ""},
		`{"name":"N","email":"n@example.com"} {}`:          {400, "malformed-json", ""},
		`{"name":"N","name":"M","email":"n@example.com"}`:  {400, "malformed-json", ""},
		"{\"name\":\"N\xff\",\"email\":\"n@example.com\"}": {400, "malformed-json", ""},
		`null`:                                   {422, "invalid-field", ""},
		`[]`:                                     {422, "invalid-field", ""},
		`"name"`:                                 {422, "invalid-field", ""},
		strings.Repeat(`[`, 5000):                {400, "malformed-json", ""},
		`{"name":"N","email":null}`:              {422, "invalid-field", "/email"},
		`{"name":null,"email":"n@example.com"}`:  {422, "invalid-field", "/name"},
		`{"name":1,"email":"n@example.com"}`:     {422, "invalid-field", "/name"},
		`{"name":["N"],"email":"n@example.com"}`: {422, "invalid-field", "/name"},
		`{"name":"N","email":"n@example.com","admin":true}`:                            {422, "invalid-field", "/admin"},
		`{"name":"N","email":"n@example.com","id":7}`:                                  {422, "invalid-field", "/id"},
		`{"Name":"N","email":"n@example.com"}`:                                         {422, "invalid-field", "/Name"},
		`{"name":"","email":"n@example.com"}`:                                          {422, "invalid-field", "/name"},
		`{"name":"N","email":""}`:                                                      {422, "invalid-field", "/email"},
		`{"name":"N","email":"n@example.com","locale":"x_y_z"}`:                        {422, "invalid-field", "/locale"},
		`{"name":"N\r\nBcc: spy@example.com","email":"n@example.com"}`:                 {422, "invalid-field", "/name"},
		`{"name":"N\u0000","email":"n@example.com"}`:                                   {422, "invalid-field", "/name"},
		`{"name":"=?utf-8?q?N=0d=0aBcc:_spy=40example.com?=","email":"n@example.com"}`: {422, "invalid-field", "/name"},
		`{"name":"N","email":"n@example.com\r\nBcc: spy@example.com"}`:                 {422, "invalid-field", "/email"},
		`{"name":"N","email":"n\u0000@example.com"}`:                                   {422, "invalid-field", "/email"},
		`{"name":"N","email":"N <n@example.com>"}`:                                     {422, "invalid-field", "/email"},
		`{"name":"N","email":"a@example.com, b@example.com"}`:                          {422, "invalid-field", "/email"},
		`{"name":"N","email":"=?utf-8?q?n?=@example.com"}`:                             {422, "invalid-field", "/email"},
		`{"name":"N","email":"n@localhost"}`:                                           {422, "invalid-field", "/email"},
		`{"name":"` + strings.Repeat("N", 201) + `","email":"n@example.com"}`:          {422, "invalid-field", "/name"},
		`{"name":"N","email":"user21@example.com"}`:                                    {409, "email-taken", ""},
		`{"name":"N","email":"USER21@EXAMPLE.COM"}`:                                    {409, "email-taken", ""},
		`{"name":"` + strings.Repeat("N", 16<<10) + `"}`:                               {413, "body-too-large", ""},
	} {
		for method, path := range map[string]string{http.MethodPost: "/user/", http.MethodPatch: "/user/42/"} {
			t.Logf("%s %.60q", method, body)
			wantProblem(t, a.call(t, a.office, admin, method, path, body), want.status, want.name, want.field)
			if body != "" { // with a session token the handler checks the body's size
				wantProblem(t, a.session(t, admin, method, path, body), want.status, want.name, want.field)
			}
		}
	}
	if after := a.call(t, a.office, admin, http.MethodGet, "/user/", "").Body.String(); after != before {
		t.Errorf("the users have changed:\n%s\n%s", before, after)
	}
}

func TestAllFaultyFieldsAreNamed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	answer := a.call(t, a.office, admin, http.MethodPost, "/user/", `{"locale":"?"}`)
	wantStatus(t, answer, http.StatusUnprocessableEntity)
	for _, field := range []string{`"/name"`, `"/email"`, `"/locale"`} {
		if !strings.Contains(answer.Body.String(), field) {
			t.Errorf("%s does not name %s", answer.Body, field)
		}
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for contentType, status := range map[string]int{
		"application/json":                  http.StatusOK,
		"application/json; charset=utf-8":   http.StatusOK,
		"application/json; charset=latin1":  http.StatusUnsupportedMediaType,
		"application/merge-patch+json":      http.StatusUnsupportedMediaType,
		"text/plain":                        http.StatusUnsupportedMediaType,
		"application/x-www-form-urlencoded": http.StatusUnsupportedMediaType,
		"":                                  http.StatusUnsupportedMediaType,
	} {
		r := newRequest(http.MethodPatch, "/user/42/", `{"name":"N"}`)
		r.Header.Set("Content-Type", contentType)
		a.shop.Sign(t, r, string(base), "https://census.service/user/42/")
		if answer := a.send(t, r); answer.Code != status {
			t.Errorf("Content-Type %q: status %d, want %d", contentType, answer.Code, status)
		}
	}
}

// A request with a modified body and a replayed token change nothing.
func TestTamperingAndReplay(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	signed := newRequest(http.MethodPatch, "/user/42/", `{"name":"Mine"}`)
	a.shop.Sign(t, signed, string(base), "https://census.service/user/42/")
	resend := func(body string) int {
		r := newRequest(http.MethodPatch, "/user/42/", body)
		r.Header = signed.Header.Clone()
		return a.send(t, r).Code
	}
	for i, step := range []struct {
		body string
		want int
	}{{`{"name":"Evil"}`, 401}, {`{"name":"Mine"}`, 200}, {`{"name":"Mine"}`, 401}} {
		if got := resend(step.body); got != step.want {
			t.Errorf("step %d: status %d, want %d", i, got, step.want)
		}
	}
}

func TestViewers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	see := func() int { return a.call(t, a.shop, otherUser, http.MethodGet, "/user/42/", "").Code }
	own := func(method, path string) *httptest.ResponseRecorder {
		return a.call(t, a.shop, subject, method, path, "")
	}
	for range 2 { // the second call changes nothing and succeeds
		wantStatus(t, own(http.MethodPut, "/user/42/viewer/63/"), http.StatusNoContent)
	}
	if see() != http.StatusOK {
		t.Error("the viewer cannot see")
	}
	for range 2 {
		wantStatus(t, own(http.MethodDelete, "/user/42/viewer/63/"), http.StatusNoContent)
	}
	if see() != http.StatusForbidden {
		t.Error("the viewer still can see")
	}
	for _, viewer := range []string{"99", "0", "063", "x", "99999999999999999999"} {
		answer := own(http.MethodPut, "/user/42/viewer/"+viewer+"/")
		wantProblem(t, answer, http.StatusUnprocessableEntity, "viewer-not-found", "")
		wantStatus(t, own(http.MethodDelete, "/user/42/viewer/"+viewer+"/"), http.StatusNoContent)
	}
}

// Of concurrent calls that create a user with the same address, exactly one succeeds.
func TestOneAddressAtOnce(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const calls = 24
	codes := make(chan int, calls)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			email := []string{"eager@example.com", "Eager@EXAMPLE.com"}[i%2]
			codes <- a.call(t, a.office, admin, http.MethodPost, "/user/", fmt.Sprintf(`{"name":"E","email":%q}`, email)).Code
		})
	}
	all.Wait()
	close(codes)
	count := map[int]int{}
	for code := range codes {
		count[code]++
	}
	if count[http.StatusCreated] != 1 || count[http.StatusConflict] != calls-1 {
		t.Errorf("statuses: %v, want one 201, else 409", count)
	}
}

type userList struct{ Users []user }

func TestListUsers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for query, want := range map[string]string{
		"":                                   "1 21 42 63",
		"?limit=200":                         "1 21 42 63",
		"?limit=4":                           "1 21 42 63",
		"?limit=2":                           "1 21 …",
		"?limit=2&after=21":                  "42 63",
		"?after=21&limit=1":                  "42 …",
		"?after=63":                          "",
		"?after=999999999999999":             "",
		"?email=user42%40example.com":        "42",
		"?email=USER42@Example.COM":          "42",
		"?email=nobody@example.com":          "",
		"?email=user42@example.com&after=42": "",
	} {
		answer := a.call(t, a.office, admin, http.MethodGet, "/user/"+query, "")
		wantStatus(t, answer, http.StatusOK)
		var ids []string
		for _, u := range decode[userList](t, answer).Users {
			id, _ := base.UserID(u.URI)
			ids = append(ids, fmt.Sprint(id))
		}
		if answer.Header().Get("Link") != "" {
			ids = append(ids, "…")
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("GET /user/%s: %q, want %q", query, got, want)
		}
	}
}

func TestBadQueries(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, query := range []string{
		"limit=0", "limit=201", "limit=-1", "limit=", "limit=x", "limit=1e2", "limit=%2B5", "limit=05",
		"limit=99999999999999999999",
		"after=-1", "after=x", "after=99999999999999999999", "after=1%00", "limit=1&limit=2", "Limit=1", "offset=1",
		"email=", "email=x", "email=%00", "email=%ff@example.com", "email=a@example.com%0d%0a",
		"email=a@example.com&email=b@example.com",
		"e-mail=a@example.com", "%zz", "a;b", "limit=1;after=2", "email=" + strings.Repeat("a", 300) + "@example.com",
		"email='%20or%20''='@example.com",
	} {
		answer := a.call(t, a.office, admin, http.MethodGet, "/user/?"+query, "")
		wantProblem(t, answer, http.StatusBadRequest, "invalid-parameter", "")
	}
}

// Following the Link headers while users are added lists every user who existed at the start
// exactly once.
func TestPagesWhileUsersAreAdded(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	want := map[string]bool{}
	for i := range 40 {
		old := census.User{Name: "Old", Email: fmt.Sprintf("old%d@example.com", i)}
		u, err := a.store.CreateUser(t.Context(), census.Operator(), old)
		if err != nil {
			t.Fatal(err)
		}
		want[base.UserURI(u.ID)] = true
	}
	seen := map[string]bool{}
	next := "/user/?limit=6"
	for page := 0; next != ""; page++ {
		answer := a.call(t, a.office, admin, http.MethodGet, next, "")
		wantStatus(t, answer, http.StatusOK)
		for _, u := range decode[userList](t, answer).Users {
			if seen[u.URI] {
				t.Errorf("%s comes twice", u.URI)
			}
			seen[u.URI] = true
			delete(want, u.URI)
		}
		if page < 5 {
			body := fmt.Sprintf(`{"name":"New","email":"new%d@example.com"}`, page)
			wantStatus(t, a.call(t, a.office, admin, http.MethodPost, "/user/", body), http.StatusCreated)
		}
		next = nextLink(t, answer)
	}
	if len(want) > 0 {
		t.Errorf("left out: %v", want)
	}
}

func nextLink(t *testing.T, answer *httptest.ResponseRecorder) string {
	t.Helper()
	link := answer.Header().Get("Link")
	if link == "" {
		return ""
	}
	path, ok := strings.CutPrefix(link, "<https://census.service")
	path, ok2 := strings.CutSuffix(path, `>; rel="next"`)
	if !ok || !ok2 {
		t.Fatalf("Link: %s", link)
	}
	return path
}
