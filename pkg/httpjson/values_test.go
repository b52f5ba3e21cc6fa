package httpjson_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"example.com/micromachine/pkg/httpjson"
)

func TestPathUUID(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/019aa2b1-5c3e-7d10-9f0a-3b6d1c2e4f50/":          true,
		"/019AA2B1-5C3E-7D10-9F0A-3B6D1C2E4F50/":          false,
		"/019aa2b15c3e7d109f0a3b6d1c2e4f50/":              false,
		"/{019aa2b1-5c3e-7d10-9f0a-3b6d1c2e4f50}/":        false,
		"/urn:uuid:019aa2b1-5c3e-7d10-9f0a-3b6d1c2e4f50/": false,
		"/42/": false,
	} {
		var got bool
		r := chi.NewRouter()
		r.Get("/{id}/", func(_ http.ResponseWriter, r *http.Request) { _, got = httpjson.PathUUID(r, "id") })
		r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a":                      "",
		" \n ":                   "must not be empty",
		strings.Repeat("ä", 10):  "",
		strings.Repeat("ä", 11):  "must have at most 10 characters",
		"a\x00":                  "must not contain the character NUL",
		"two\nlines, \"quoted\"": "must have at most 10 characters",
	} {
		got := httpjson.CheckText("/text", text, 10)
		switch {
		case want == "" && got == nil:
		case len(got) != 1 || got[0] != (httpjson.FieldError{Field: "/text", Detail: want}):
			t.Errorf("%q: %+v, want %s", text, got, want)
		}
	}
}
