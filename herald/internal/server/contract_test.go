package server_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-chi/chi/v5"

	"example.com/micromachine/herald"
)

var description = sync.OnceValue(func() *openapi3.T {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(herald.OpenAPI))
	if err != nil {
		panic(err)
	}
	openapi3filter.RegisterBodyDecoder("application/jwk-set+json", openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	return doc
})

var operations = sync.OnceValue(func() routers.Router {
	router, err := gorillamux.NewRouter(description())
	if err != nil {
		panic(err)
	}
	return router
})

// checkContract checks that openapi.yaml allows the answer to the request. What
// it does not describe must not be there: 404, or 405 for another method.
func checkContract(tb testing.TB, r *http.Request, answer *httptest.ResponseRecorder) {
	tb.Helper()
	described := r.Clone(r.Context())
	if r.Method == http.MethodHead { // the same as GET, less the body
		described.Method = http.MethodGet
	}
	route, params, err := operations().FindRoute(described)
	switch {
	case errors.Is(err, routers.ErrPathNotFound) && answer.Code == http.StatusNotFound:
		return
	case errors.Is(err, routers.ErrMethodNotAllowed) && answer.Code == http.StatusMethodNotAllowed:
		return
	case err != nil:
		tb.Errorf("%s %s: status %d and %v", r.Method, r.URL.Path, answer.Code, err)
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: described, Route: route, PathParams: params},
		Status:                 answer.Code,
		Header:                 answer.Header(),
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: r.Method == http.MethodHead,
		},
	}
	input.SetBodyBytes(answer.Body.Bytes())
	if err := openapi3filter.ValidateResponse(r.Context(), input); err != nil {
		tb.Errorf("%s %s: the answer breaks the contract: %v\n%d %s", r.Method, r.URL.Path, err, answer.Code, answer.Body)
	}
}

func TestDescriptionIsValid(t *testing.T) {
	t.Parallel()
	doc := description()
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("OpenAPI %s, want 3.1", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDescriptionMatchesRoutes(t *testing.T) {
	t.Parallel()
	var described, routed []string
	for path, item := range description().Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	err := chi.Walk(newAPI(t).handler, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routed = append(routed, method+" "+path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(described)
	slices.Sort(routed)
	if !slices.Equal(described, routed) {
		t.Errorf("described:\n%s\nrouted:\n%s", strings.Join(described, "\n"), strings.Join(routed, "\n"))
	}
}

// The checker itself can fail.
func TestContractIsChecked(t *testing.T) {
	t.Parallel()
	const id = "019aa2b1-5c3e-7d10-9f0a-3b6d1c2e4f50"
	good := `{"uri":"https://herald.service/notification/` + id + `/","user":"https://census.service/user/42/","type":"welcome-message",` +
		`"status":"queued","possible_duplicate":false,"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z","attempts":[]}`
	for name, spoil := range map[string]func(w *httptest.ResponseRecorder) (body string){
		"":                    func(*httptest.ResponseRecorder) string { return good },
		"no content type":     func(w *httptest.ResponseRecorder) string { w.Header().Del("Content-Type"); return good },
		"a missing header":    func(w *httptest.ResponseRecorder) string { w.Header().Del("Cache-Control"); return good },
		"another status":      func(w *httptest.ResponseRecorder) string { w.Code = http.StatusTeapot; return good },
		"a missing member":    func(*httptest.ResponseRecorder) string { return strings.Replace(good, `"status":"queued",`, "", 1) },
		"an unknown member":   func(*httptest.ResponseRecorder) string { return strings.Replace(good, `{`, `{"email":"a@b.cd",`, 1) },
		"an unknown status":   func(*httptest.ResponseRecorder) string { return strings.Replace(good, "queued", "lost", 1) },
		"null for a list":     func(*httptest.ResponseRecorder) string { return strings.Replace(good, "[]", "null", 1) },
		"time of no zone":     func(*httptest.ResponseRecorder) string { return strings.Replace(good, "00Z", "00", 1) },
		"an unknown attempt":  func(*httptest.ResponseRecorder) string { return strings.Replace(good, "[]", `[{"number":1}]`, 1) },
		"a URI of no service": func(*httptest.ResponseRecorder) string { return strings.Replace(good, "https://herald.service", "", 1) },
	} {
		recorder, failed := httptest.NewRecorder(), &recordingTB{TB: t}
		recorder.Header().Set("Content-Type", "application/json")
		recorder.Header().Set("Cache-Control", "no-store")
		recorder.Body.WriteString(spoil(recorder))
		checkContract(failed, newRequest(http.MethodGet, "/notification/"+id+"/", ""), recorder)
		if failed.failed == (name == "") {
			t.Errorf("an answer with %q: %t", name, failed.failed)
		}
	}
}

// recordingTB notes a failure instead of failing.
type recordingTB struct {
	testing.TB
	failed bool
}

func (r *recordingTB) Helper()               {}
func (r *recordingTB) Errorf(string, ...any) { r.failed = true }
