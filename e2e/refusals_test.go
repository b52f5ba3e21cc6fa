package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"example.com/micromachine/e2e/stack"
)

// A refusal is a request that must be refused, with the expected response.
type refusal struct {
	name   string
	want   int
	detail string // a part of the response body
	make   func(ctx context.Context, shop *stack.Caller) (*http.Request, error)
}

func postBody(body string) func(context.Context, *stack.Caller) (*http.Request, error) {
	return func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		return shop.Request(ctx, http.MethodPost, notifications, body, stack.Reader.Subject())
	}
}

func postUser(user string) func(context.Context, *stack.Caller) (*http.Request, error) {
	body, err := json.Marshal(map[string]string{"user": user, "type": "welcome-message"})
	if err != nil {
		panic(err)
	}
	return postBody(string(body))
}

var refusals = []refusal{
	{"no token", 401, "token", func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		r, err := postBody(welcome)(ctx, shop)
		r.Header.Del("JWT")
		return r, err
	}},
	{"two tokens", 401, "token", func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		r, err := postBody(welcome)(ctx, shop)
		r.Header.Add("JWT", r.Header.Get("JWT"))
		return r, err
	}},
	{"changed body", 401, "token", func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		r, err := postBody(welcome)(ctx, shop)
		r.Body, r.GetBody = io.NopCloser(strings.NewReader(strings.Replace(welcome, "42", "21", 1))), nil
		return r, err
	}},
	{"changed query", 401, "token", func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		r, err := postBody(welcome)(ctx, shop)
		r.URL.RawQuery = "x=1"
		return r, err
	}},
	{"token for Census", 401, "token", func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		return shop.RequestFor(ctx, http.MethodPost, notifications, welcome, stack.Reader.Subject(), stack.CensusURL)
	}},
	{"unknown issuer", 401, "token", func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		unknown, err := shop.UnknownIssuer("https://unknown.service/")
		if err != nil {
			return nil, err
		}
		return postBody(welcome)(ctx, unknown)
	}},
	{
		"issuer name of another service", 401, "token",
		func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
			impostor, err := shop.UnknownIssuer("https://shop.service/")
			if err != nil {
				return nil, err
			}
			return postBody(welcome)(ctx, impostor)
		},
	},
	{
		"a user of another service as subject", 403, "",
		func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
			return shop.Request(ctx, http.MethodPost, notifications, welcome, "https://census.service.evil/user/21/")
		},
	},
	{"subject who may not see the user", 403, "", func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		return shop.Request(ctx, http.MethodPost, notifications, welcome, stack.Stranger.Subject())
	}},
	{"call that is not allowed", 403, "", func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		return shop.Request(ctx, http.MethodDelete, stack.CensusUser.URI(), "", stack.CensusUser.Subject())
	}},
	{"unknown type", 422, "/type", postBody(`{"user":"https://census.service/user/42/","type":"no-such"}`)},
	{
		"unknown field", 422, "extra",
		postBody(`{"user":"https://census.service/user/42/","type":"welcome-message","extra":1}`),
	},
	{"trailing data", 400, "", postBody(welcome + "{}")},
	{"not JSON", 400, "", postBody("user=42")},
	{"over the limit", 413, "", postBody(welcome + strings.Repeat(" ", 1<<20))},
	{"wrong content type", 415, "", func(ctx context.Context, shop *stack.Caller) (*http.Request, error) {
		r, err := postBody(welcome)(ctx, shop)
		r.Header.Set("Content-Type", "text/plain")
		return r, err
	}},
	{"user at another host", 422, "/user", postUser("https://evil.service/user/42/")},
	{"host with our host as prefix", 422, "/user", postUser("https://census.service.evil/user/42/")},
	{"user at another port", 422, "/user", postUser("https://census.service:8443/user/42/")},
	{"user without TLS", 422, "/user", postUser("http://census.service/user/42/")},
	{"user with dots", 422, "/user", postUser("https://census.service/user/21/../42/")},
	{"user with query", 422, "/user", postUser("https://census.service/user/42/?x=1")},
	{"user with fragment", 422, "/user", postUser("https://census.service/user/42/#x")},
	{"user with credentials", 422, "/user", postUser("https://a:b@census.service/user/42/")},
}

func TestRefusals(t *testing.T) {
	_, shop, _ := callers(t)
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			req, err := r.make(t.Context(), shop)
			if err != nil {
				t.Fatal(err)
			}
			res, err := shop.Send(req)
			if err != nil {
				t.Fatal(err)
			}
			if res.Status != r.want || !strings.Contains(string(res.Body), r.detail) {
				t.Errorf("status %d, not %d; %s", res.Status, r.want, res.Body)
			}
			if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
			if got := res.Header.Get("WWW-Authenticate"); (got != "") != (r.want == 401) {
				t.Errorf("status %d with WWW-Authenticate %q", res.Status, got)
			}
		})
	}
}

func TestReplay(t *testing.T) {
	another, shop, _ := callers(t)
	for name, caller := range map[string]*stack.Caller{"article": another, "bound": shop} {
		t.Run(name, func(t *testing.T) {
			req, err := caller.Request(t.Context(), http.MethodPost, notifications, welcome, stack.Reader.Subject())
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []int{http.StatusCreated, http.StatusUnauthorized, http.StatusUnauthorized} {
				res, err := caller.Send(copyOf(t.Context(), req))
				if err != nil {
					t.Fatal(err)
				}
				if res.Status != want {
					t.Errorf("time %d: status %d, not %d", i+1, res.Status, want)
				}
			}
		})
	}
}
