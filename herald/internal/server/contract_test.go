package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/httpjson/contract"
)

var description = contract.MustLoad(herald.OpenAPI)

func TestDescriptionMatchesRoutes(t *testing.T) {
	t.Parallel()
	if err := description.CheckRoutes(t.Context(), newAPI(t).handler); err != nil {
		t.Error(err)
	}
}

func TestDescriptionHasTheTypes(t *testing.T) {
	t.Parallel()
	var types []string
	for _, kind := range herald.Types() {
		types = append(types, string(kind))
	}
	if err := description.CheckEnum("Type", types...); err != nil {
		t.Error(err)
	}
	if description.CheckEnum("Type", append(types, "another")...) == nil || description.CheckEnum("None") == nil {
		t.Error("the checker does not fail")
	}
}

// TestContractIsChecked checks that the checker rejects wrong responses.
func TestContractIsChecked(t *testing.T) {
	t.Parallel()
	const id = "019aa2b1-5c3e-7d10-9f0a-3b6d1c2e4f50"
	good := `{"uri":"https://herald.service/notification/` + id + `/","user":"https://census.service/user/42/",` +
		`"type":"welcome-message","status":"queued","possible_duplicate":false,` +
		`"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z","attempts":[]}`
	for name, spoil := range map[string]func(w *httptest.ResponseRecorder) (body string){
		"":                 func(*httptest.ResponseRecorder) string { return good },
		"no content type":  func(w *httptest.ResponseRecorder) string { w.Header().Del("Content-Type"); return good },
		"a missing header": func(w *httptest.ResponseRecorder) string { w.Header().Del("Cache-Control"); return good },
		"another status":   func(w *httptest.ResponseRecorder) string { w.Code = http.StatusTeapot; return good },
		"a missing member": func(*httptest.ResponseRecorder) string {
			return strings.Replace(good, `"status":"queued",`, "", 1)
		},
		"an unknown member": func(*httptest.ResponseRecorder) string {
			return strings.Replace(good, `{`, `{"email":"a@b.cd",`, 1)
		},
		"an unknown status": func(*httptest.ResponseRecorder) string { return strings.Replace(good, "queued", "lost", 1) },
		"null for a list":   func(*httptest.ResponseRecorder) string { return strings.Replace(good, "[]", "null", 1) },
		"time without zone": func(*httptest.ResponseRecorder) string { return strings.Replace(good, "00Z", "00", 1) },
		"an unknown attempt": func(*httptest.ResponseRecorder) string {
			return strings.Replace(good, "[]", `[{"number":1}]`, 1)
		},
		"a relative URI": func(*httptest.ResponseRecorder) string {
			return strings.Replace(good, "https://herald.service", "", 1)
		},
	} {
		recorder := httptest.NewRecorder()
		recorder.Header().Set("Content-Type", "application/json")
		recorder.Header().Set("Cache-Control", "no-store")
		recorder.Body.WriteString(spoil(recorder))
		err := description.CheckAnswer(newRequest(http.MethodGet, "/notification/"+id+"/", ""), recorder)
		if (err == nil) != (name == "") {
			t.Errorf("an answer with %q: %v", name, err)
		}
	}
}
