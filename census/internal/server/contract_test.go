package server_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/chi/v5"

	"example.com/micromachine/census"
	"example.com/micromachine/pkg/httpjson/contract"
)

var description = contract.MustLoad(census.OpenAPI)

func TestDescriptionMatchesRoutes(t *testing.T) {
	t.Parallel()
	if err := description.CheckRoutes(t.Context(), newAPI(t).handler.(chi.Routes)); err != nil {
		t.Error(err)
	}
}

// The contract check finds responses that break the contract.
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
		recorder := httptest.NewRecorder()
		answer(recorder)
		err := description.CheckAnswer(newRequest(http.MethodGet, "/user/42/", ""), recorder)
		if err == nil {
			t.Errorf("an answer with %s passed", name)
		}
	}
}
