// Package contract tests an API against its OpenAPI description:
//
//	var description = contract.MustLoad(census.OpenAPI)
//
//	if err := description.CheckRoutes(ctx, router); err != nil { ... }
//	if err := description.CheckAnswer(request, recorder); err != nil { ... }
package contract

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-chi/chi/v5"
)

// A Description is the OpenAPI description of an API. It is safe for concurrent use.
type Description struct {
	doc    *openapi3.T
	router routers.Router
}

// MustLoad parses an OpenAPI document in YAML. It panics if the document is not valid.
func MustLoad(openapi string) *Description {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(openapi))
	if err != nil {
		panic(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	openapi3filter.RegisterBodyDecoder("application/jwk-set+json", openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	return &Description{doc: doc, router: router}
}

// CheckRoutes returns an error unless the description is valid OpenAPI 3.1 and describes exactly
// the routes.
func (d *Description) CheckRoutes(ctx context.Context, routes chi.Routes) error {
	if !strings.HasPrefix(d.doc.OpenAPI, "3.1.") {
		return fmt.Errorf("OpenAPI %s, want 3.1", d.doc.OpenAPI)
	}
	if err := d.doc.Validate(ctx); err != nil {
		return err
	}
	var described, routed []string
	for path, item := range d.doc.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	err := chi.Walk(routes, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routed = append(routed, method+" "+path)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(described)
	slices.Sort(routed)
	if !slices.Equal(described, routed) {
		return fmt.Errorf("described:\n%s\nrouted:\n%s", strings.Join(described, "\n"), strings.Join(routed, "\n"))
	}
	return nil
}

// CheckEnum returns an error unless the schema allows exactly these values, in this order.
func (d *Description) CheckEnum(schema string, values ...string) error {
	ref := d.doc.Components.Schemas[schema]
	if ref == nil || ref.Value == nil {
		return fmt.Errorf("no schema %s", schema)
	}
	var described []string
	for _, v := range ref.Value.Enum {
		described = append(described, fmt.Sprint(v))
	}
	if !slices.Equal(described, values) {
		return fmt.Errorf("the schema %s allows %q, want %q", schema, described, values)
	}
	return nil
}

// CheckAnswer returns an error unless the description allows the response to the request. A request
// that is not described must get 404, or 405 when the path has other methods.
func (d *Description) CheckAnswer(r *http.Request, answer *httptest.ResponseRecorder) error {
	described := r.Clone(r.Context())
	if r.Method == http.MethodHead { // the response to GET without the body
		described.Method = http.MethodGet
	}
	route, params, err := d.router.FindRoute(described)
	switch {
	case errors.Is(err, routers.ErrPathNotFound) && answer.Code == http.StatusNotFound:
		return nil
	case errors.Is(err, routers.ErrMethodNotAllowed) && answer.Code == http.StatusMethodNotAllowed:
		return nil
	case err != nil:
		return fmt.Errorf("%s %s: status %d and %w", r.Method, r.URL.Path, answer.Code, err)
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
		return fmt.Errorf("%s %s: the answer breaks the contract: %w\n%d %s",
			r.Method, r.URL.Path, err, answer.Code, answer.Body)
	}
	return nil
}
