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

	"example.com/micromachine/census"
)

var description = sync.OnceValue(func() *openapi3.T {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(census.OpenAPI))
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
	err := chi.Walk(newAPI(t).handler.(chi.Routes), func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
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
	for name, answer := range map[string]func(w http.ResponseWriter){
		"no content type": func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{}`)) },
		"an undescribed status": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusTeapot)
		},
		"a missing member": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write([]byte(`{"uri":"https://census.service/user/42/","name":"N","email":"a@b.cd"}`))
		},
		"an unknown member": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write([]byte(`{"uri":"https://census.service/user/42/","name":"N","email":"a@b.cd","locale":"en","admin":true}`))
		},
		"a missing header": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"uri":"https://census.service/user/42/","name":"N","email":"a@b.cd","locale":"en"}`))
		},
	} {
		recorder, failed := httptest.NewRecorder(), &recordingTB{TB: t}
		answer(recorder)
		checkContract(failed, newRequest(http.MethodGet, "/user/42/", ""), recorder)
		if !failed.failed {
			t.Errorf("an answer with %s passed", name)
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
