package svcauth_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

// An HTTP/2 request whose HEADERS frame is without END_STREAM may have no body: END_STREAM then
// comes on an empty DATA frame. A read without a byte of body needs no bdy. One with a body does.
func TestOpenStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, client := listen(t, 2, w.verifier.Require(maxBody)(http.HandlerFunc(w.whoAmI)))
	type result struct {
		status int
		check  svcauth.Check
		body   string
	}
	send := func(c *call, body io.ReadCloser) result {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), c.method, address+c.target, body)
		if err != nil {
			t.Fatal(err)
		}
		if c.token != "" {
			req.Header.Set(svcauth.Header, c.token)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.ProtoMajor != 2 {
			t.Fatalf("%s %v", res.Proto, err)
		}
		select {
		case refusal := <-w.refusals:
			return result{res.StatusCode, refusal.Check, ""}
		default:
			return result{res.StatusCode, "", string(text)}
		}
	}
	for name, valid := range map[string]kind{"bound": boundRead, "article": articleRead, "session": session} {
		for _, m := range []string{http.MethodGet, http.MethodHead} {
			c := valid(t, w)
			if name == "bound" {
				to(m, readPath)(c)
			}
			c.method = m
			c.sign()
			for range 2 { // the second time the token is cached
				if got := send(c, io.NopCloser(io.MultiReader())); got.status != http.StatusOK {
					t.Errorf("%s %s without a body: %+v", name, m, got)
				}
			}
			got := send(c, io.NopCloser(io.MultiReader(strings.NewReader(newUser))))
			if name == "session" && got.status != http.StatusOK || name != "session" && (got.status != http.StatusUnauthorized || got.check != svcauth.CheckClaims) {
				t.Errorf("%s %s with a body: %+v", name, m, got)
			}
		}
	}
	for _, tampered := range []mutation{token(always("")), token(always("bad")), signedBy(shopEd), timeClaim("exp", -10), noClaim("jti"), stringClaim("sub", shop), to("GET", "/admin/")} {
		c := boundRead(t, w)
		tampered(c)
		c.sign()
		unsent, _ := io.Pipe()
		if got := send(c, unsent); got.status != http.StatusUnauthorized && got.status != http.StatusForbidden {
			t.Errorf("bad token and a body that is not sent: %+v", got)
		}
	}
}

// A token that expires while the verifier waits for the first byte of the body, or its end, is
// refused.
func TestOpenStreamOutlivesToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, client := listen(t, 2, w.verifier.Require(maxBody)(http.HandlerFunc(w.whoAmI)))
	c := boundRead(t, w)
	c.sign()
	body, end := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), c.method, address+c.target, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(svcauth.Header, c.token)
	status := make(chan int)
	go func() {
		res, err := client.Do(req)
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		res.Body.Close()
		status <- res.StatusCode
	}()
	select {
	case got := <-status:
		t.Errorf("status %d before the body", got)
	case <-time.After(200 * time.Millisecond):
	}
	w.ahead.Store(int64(72 * time.Second))
	end.Close()
	if got := <-status; got != http.StatusUnauthorized {
		t.Errorf("status %d", got)
	}
	if refusal := <-w.refusals; refusal.Check != svcauth.CheckTime {
		t.Errorf("refused by check %s", refusal.Check)
	}
}
