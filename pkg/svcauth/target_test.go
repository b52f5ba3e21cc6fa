package svcauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"example.com/micromachine/pkg/svcauth"
)

// A rewriting is a router or middleware in front of the verifier that changes the request's URL.
type rewriting struct {
	name string
	wrap func(http.Handler) http.Handler
	sent string // a path that passes through it to one that ends with /user/42/
	seen string // the path that the handler finds in the request's URL
}

func rewritings() []rewriting {
	edit := func(change func(*url.URL)) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				change(r.URL)
				next.ServeHTTP(w, r)
			})
		}
	}
	return []rewriting{
		{"none", func(h http.Handler) http.Handler { return h }, "/user/42/", "/user/42/"},
		{"http.StripPrefix", func(h http.Handler) http.Handler { return http.StripPrefix("/admin", h) }, "/admin/user/42/", "/user/42/"},
		{"http.StripPrefix with an encoded letter", func(h http.Handler) http.Handler { return http.StripPrefix("/a m", h) }, "/a%20m/user/42/", "/user/42/"},
		{"chi's Mount", func(h http.Handler) http.Handler {
			outer := chi.NewRouter()
			outer.Mount("/admin", h)
			return outer
		}, "/admin/user/42/", "/admin/user/42/"},
		{"chi's PathRewrite", middleware.PathRewrite("/v1/", "/"), "/v1/user/42/", "/user/42/"},
		{"chi's StripSlashes", middleware.StripSlashes, "/admin/user/42/", "/admin/user/42"},
		{"chi's CleanPath", func(h http.Handler) http.Handler {
			outer := chi.NewRouter()
			outer.Use(middleware.CleanPath)
			outer.Handle("/*", h)
			return outer
		}, "/user/42/", "/user/42/"},
		{"path in lower case", edit(func(u *url.URL) { u.Path = strings.ToLower(u.Path) }), "/User/42/", "/user/42/"},
		{"another path", edit(func(u *url.URL) { u.Path, u.RawPath = "/user/42/", "" }), "/user/me/", "/user/42/"},
		{"an absolute URL", edit(func(u *url.URL) { u.Scheme, u.Host = "http", "10.0.0.7" }), "/user/42/", "/user/42/"},
		{"an opaque URL", edit(func(u *url.URL) { u.Opaque = "//10.0.0.7/user/1/" }), "/user/42/", "/user/42/"},
	}
}

// Tokens are compared with the request as it was received, whatever is in front of the verifier. A
// token for the URL as sent passes, and one for the URL as rewritten does not. The paths of the
// trust file are those that are sent. The handler gets the rewritten URL.
func TestRewrittenURL(t *testing.T) {
	w := newWorld(t)
	for _, tt := range rewritings() {
		for _, protocol := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, HTTP/%d", tt.name, protocol), func(t *testing.T) {
				handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.URL.Path, r.URL.RawQuery) })
				address, client := listen(t, protocol, tt.wrap(w.verifier.Require(0)(handler)))
				send := func(target string, sign func(*call)) (int, svcauth.Check) {
					t.Helper()
					c := newCall(t, w, shop, w.shopEd, "svcauth+jwt")
					sign(c)
					c.sign()
					return statusAndCheck(t, w, client, address+target, c)
				}
				query := "?expand=viewer"
				if status, check := send(tt.sent+query, to("GET", tt.sent+query)); tt.allowed() && status != http.StatusOK || !tt.allowed() && check != svcauth.CheckAllow {
					t.Errorf("token for the URL as sent: status %d by check %q", status, check)
				}
				if tt.sent == tt.seen {
					return
				}
				if status, check := send(tt.sent+query, to("GET", tt.seen+query)); status != http.StatusUnauthorized || check != svcauth.CheckRequest {
					t.Errorf("token for the URL as rewritten: status %d by check %q", status, check)
				}
			})
		}
	}
}

// allowed reports whether the world's trust file allows the path as it is sent.
func (r rewriting) allowed() bool { return strings.HasPrefix(r.sent, "/user/") }

// listen starts a server of HTTP/1.1 or HTTP/2 and returns its URL and a client for it.
func listen(t *testing.T, protocol int, handler http.Handler) (string, *http.Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = protocol == 2
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, server.Client()
}

// statusAndCheck sends a call by net/http's client and returns its status and the check that
// refused it.
func statusAndCheck(t *testing.T, w *world, client *http.Client, target string, c *call) (int, svcauth.Check) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(svcauth.Header, c.token)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	select {
	case refusal := <-w.refusals:
		return res.StatusCode, refusal.Check
	default:
		return res.StatusCode, ""
	}
}

// Article tokens do not name their request. The trust file decides by the path as it was sent.
func TestRewrittenURLOfArticle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.address = listenPlain(t, http.StripPrefix("/admin", w.verifier.Require(0)(http.HandlerFunc(w.whoAmI))))
	c := articleRead(t, w)
	c.target = "/admin/user/42/"
	c.sign()
	if a := c.send(); a.status != http.StatusForbidden {
		t.Errorf("status %d", a.status)
	}
	if log := w.log.String(); !strings.Contains(log, `"path":"/admin/user/42/"`) {
		t.Errorf("log %s", log)
	}
}

// listenPlain starts a server without TLS and returns its address.
func listenPlain(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// A request target may be in origin form or in absolute form, of which path and query are compared.
// Targets in other forms are refused (RFC 9112 section 3.2).
func TestTargetForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		target string
		status int
	}{
		{"/user/42/", 200},
		{"https://census.service/user/42/", 200},
		{"http://census.service:8080/user/42/", 200},
		{"http://[::1]:8080/user/42/", 200},
		{"https://census.service", 401},
		{"https://census.service/user/43/", 401},
		{"https://census.service/user/42/?", 401},
		{"https://census.service/user/42/?a=b", 401},
		{"https://user@census.service/user/42/", 401},
		{"ftp://census.service/user/42/", 401},
		{"HTTPS://census.service/user/42/", 401},
		{"https:///user/42/", 401},
		{"https:/user/42/", 401},
		{"https:user/42/", 401},
		{"//census.service/user/42/", 401},
	} {
		c := boundRead(t, w)
		to("GET", "/user/42/")(c)
		target(tt.target)(c)
		c.sign()
		a := c.send()
		if a.status != tt.status || tt.status == 401 && a.refusal.Check != svcauth.CheckRequest {
			t.Errorf("%s: status %d, %v", tt.target, a.status, a.refusal)
		}
	}
}

// Targets in asterisk form and in authority form are refused, whatever URL a router has put in
// their place: they name no resource of this service. By default net/http itself answers such
// requests.
func TestTargetWithoutPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, valid := range []kind{boundWrite, articleWrite} {
		for _, target := range []string{"*", "census.service:443", "census.service"} {
			c := valid(t, w)
			c.sign()
			req := httptest.NewRequest(http.MethodPost, "/user/", strings.NewReader(newUser))
			req.Header.Set(svcauth.Header, c.token)
			req.RequestURI = target
			_, err := w.verifier.Verify(req, maxBody)
			refusal, ok := errors.AsType[*svcauth.Refusal](err)
			if !ok || refusal.Check != svcauth.CheckRequest && refusal.Check != svcauth.CheckAllow {
				t.Errorf("%s: %v", target, err)
			}
		}
	}
}

// A request that a server has not received has no target. Its URL is compared instead.
func TestRequestWithoutTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for target, status := range map[string]int{
		census + "user/42/?expand=viewer": 200, "/user/42/?expand=viewer": 200, census + "user/42/": 401, census + "user/43/?expand=viewer": 401,
	} {
		c := boundRead(t, w)
		c.sign()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(svcauth.Header, c.token)
		if got := statusOf(w.verifier, req); got != status {
			t.Errorf("%s: status %d", target, got)
		}
	}
}

// The method is that of the request line. It stays HEAD where chi's GetHead calls the handler of
// GET.
func TestRoutedMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	router := chi.NewRouter()
	router.Use(middleware.GetHead, w.verifier.Require(0))
	router.Get("/user/{id}/", w.whoAmI)
	w.address = listenPlain(t, router)
	c := boundRead(t, w)
	to("HEAD", readPath)(c)
	c.sign()
	c.mustPass()
	other := boundRead(t, w)
	method("HEAD")(other)
	other.sign()
	if a := other.send(); a.status != http.StatusUnauthorized {
		t.Errorf("status %d for HEAD with a token for GET", a.status)
	}
}
