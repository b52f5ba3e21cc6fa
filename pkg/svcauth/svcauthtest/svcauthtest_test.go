package svcauthtest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// The trust file of the verifier has the fields of each Trust: profile, admin and sessions
// included.
func TestTrust(t *testing.T) {
	t.Parallel()
	const census = "https://census.service/"
	bound, article := svcauthtest.NewIssuer(t, "https://shop.service/"), svcauthtest.NewArticleIssuer(t, "https://another.service/")
	login := svcauthtest.NewIssuer(t, census)
	everything := []string{"GET /user/*", "POST /user/"}
	verifier := svcauthtest.NewVerifier(t, census,
		svcauthtest.Trust{Issuer: bound, Allow: everything, ActFor: []string{census + "user/*"}, Admin: true},
		svcauthtest.Trust{Issuer: article, Allow: everything, ActFor: []string{census + "user/*"}},
		svcauthtest.Trust{Issuer: login, Sessions: true},
	)
	var caller svcauth.Caller
	handler := verifier.Require(1 << 10)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		caller, _ = svcauth.CallerFrom(r.Context())
	}))
	request := func() *http.Request {
		return httptest.NewRequest(http.MethodPost, census+"user/", strings.NewReader("{}"))
	}
	session, err := login.Signer().SessionToken(t.Context(), census, census+"user/21/")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		sign func(*http.Request)
		want svcauth.Caller
	}{
		{"bound", func(r *http.Request) { bound.Sign(t, r, census, census+"user/21/") }, svcauth.Caller{Issuer: bound.URL, KeyID: bound.Key.ID(), Admin: true}},
		{"article", func(r *http.Request) { article.Sign(t, r, census, census+"user/21/") }, svcauth.Caller{Issuer: article.URL, KeyID: article.Key.ID()}},
		{"session", func(r *http.Request) { r.Header.Set(svcauth.Header, session) }, svcauth.Caller{Issuer: login.URL, KeyID: login.Key.ID(), Session: true}},
	} {
		req, res := request(), httptest.NewRecorder()
		tt.sign(req)
		handler.ServeHTTP(res, req)
		if res.Code != http.StatusOK || caller != tt.want {
			t.Errorf("%s: status %d, caller %+v, want %+v", tt.name, res.Code, caller, tt.want)
		}
	}
}
