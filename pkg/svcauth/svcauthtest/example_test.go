package svcauthtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A test of a service signs and verifies tokens as in production. No check is switched off.
func Example() {
	t := newExampleT() // in a test: its *testing.T
	defer t.end()

	shop := svcauthtest.NewIssuer(t, "https://shop.service/")
	stranger := svcauthtest.NewIssuer(t, "https://stranger.service/")
	verifier := svcauthtest.NewVerifier(t, "https://census.service/", svcauthtest.Trust{
		Issuer: shop, Allow: []string{"GET /user/*"}, ActFor: []string{"https://census.service/user/*"},
	})
	service := verifier.Require(64 << 10)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, _ := svcauth.SubjectFrom(r.Context())
		fmt.Fprint(w, "hello ", subject)
	}))

	for _, tt := range []struct {
		name    string
		caller  *svcauthtest.Issuer
		method  string
		subject svcauth.Subject
	}{
		{"allowed", shop, "GET", "https://census.service/user/21/"},
		{"another method", shop, "DELETE", "https://census.service/user/21/"},
		{"somebody else's user", shop, "GET", "https://elsewhere.service/user/21/"},
		{"a stranger", stranger, "GET", "https://census.service/user/21/"},
	} {
		req := httptest.NewRequest(tt.method, "https://census.service/user/42/", nil)
		tt.caller.Sign(t, req, "https://census.service/", tt.subject)
		res := httptest.NewRecorder()
		service.ServeHTTP(res, req)
		fmt.Printf("%s: %d\n", tt.name, res.Code)
	}
	// Output:
	// allowed: 200
	// another method: 403
	// somebody else's user: 403
	// a stranger: 401
}

// An exampleT is used as the *testing.T, which an example does not have.
type exampleT struct {
	testing.TB
	dir      string
	cleanups []func()
}

func newExampleT() *exampleT {
	dir, err := os.MkdirTemp("", "svcauthtest")
	if err != nil {
		panic(err)
	}
	return &exampleT{dir: dir, cleanups: []func(){func() { _ = os.RemoveAll(dir) }}}
}

func (t *exampleT) Helper()           {}
func (t *exampleT) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
func (t *exampleT) TempDir() string   { return t.dir }
func (t *exampleT) Output() io.Writer { return io.Discard }
func (t *exampleT) Cleanup(f func())  { t.cleanups = append(t.cleanups, f) }

func (t *exampleT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}
