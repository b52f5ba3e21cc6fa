package svcauth_test

import (
	"bufio"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A slowBody is a request body that calls before when its first byte is read.
type slowBody struct {
	before func()
	io.Reader
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.before != nil {
		b.before()
		b.before = nil
	}
	return b.Reader.Read(p)
}

// The trust entries of herald at the start of the tests with slow bodies; %s stands for its keys.
const (
	boundWriter    = "issuers: [{issuer: https://herald.service/, keys: %s, allow: [POST /user/, GET /user/*], act_for: ['https://census.service/user/*']}]"
	articleWriter  = "issuers: [{issuer: https://herald.service/, keys: %s, profile: article, allow: [POST /user/], act_for: ['https://census.service/user/*']}]"
	noExpiryWriter = "issuers: [{issuer: https://herald.service/, keys: %s, profile: article, insecure_no_expiry: true, allow: [POST /user/], act_for: ['https://census.service/user/*']}]"
)

// newSlowBodyTest returns a verifier that trusts herald by the entry, and a function that makes
// requests with a slow body. All of them have the same token of herald.
func newSlowBodyTest(t *testing.T, entry string) (r *heraldTest, request func(before func()) *http.Request) {
	t.Helper()
	f := newForger(t, keys.EdDSA)
	r = &heraldTest{runningVerifier: &runningVerifier{file: filepath.Join(t.TempDir(), "trust.yaml")}, key: loadKey(t, f.key.(crypto.Signer))}
	r.writeEntry(t, entry, r.key)
	r.runningVerifier = startVerifier(t, r.file)
	c := newCall(t, &world{now: time.Now()}, herald, f, "svcauth+jwt")
	switch {
	case strings.Contains(entry, "profile: article"):
		asArticleWrite(c)
		c.header.set("typ", quote("JWT"))
	case strings.Contains(entry, "sessions: true"):
		c.method, c.target = http.MethodPost, "/user/"
		c.header.set("typ", quote("session+jwt"))
		c.claims.set("sub", quote(herald+"user/21/"))
	default:
		to(http.MethodPost, "/user/")(c)
		c.claims.set("bdy", quote(sha256Body(newUser)))
	}
	if entry == noExpiryWriter {
		c.claims.remove("exp")
	}
	c.sign()
	return r, func(before func()) *http.Request {
		req := httptest.NewRequest(c.method, c.target, &slowBody{before, strings.NewReader(newUser)})
		req.Header.Set(svcauth.Header, c.token)
		return req
	}
}

// A call whose token expires before its body arrives is refused, whether the token was used before
// or not. When it was used, the record of that use may be deleted by then.
func TestSlowBodyOutlivesToken(t *testing.T) {
	t.Parallel()
	for name, entry := range map[string]string{"bound": boundWriter, "article": articleWriter} {
		for _, used := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, used before: %t", name, used), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					r, request := newSlowBodyTest(t, entry)
					if used {
						if status := r.verify(request(nil)); status != http.StatusOK {
							t.Fatalf("status %d for the first use: %s", status, r.log.String())
						}
					}
					req := request(func() { <-time.After(72 * time.Second) })
					if status := r.verify(req); status != http.StatusUnauthorized || r.check != svcauth.CheckTime {
						t.Errorf("status %d by check %q", status, r.check)
					}
				})
			})
		}
	}
}

// A call whose body arrives late is checked against the trust file and the keys that are in force
// when the body has arrived.
func TestSlowBodyIsCheckedAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		entry  string
		change func(*testing.T, *heraldTest)
		status int
		check  svcauth.Check
	}{
		{"no change", boundWriter, func(*testing.T, *heraldTest) {}, 200, ""},
		{"issuer is gone", boundWriter, edit(herald, "https://other.service/"), 401, svcauth.CheckIssuer},
		{"another profile", boundWriter, edit("allow:", "profile: article, allow:"), 401, svcauth.CheckType},
		{"article is no longer accepted", articleWriter, edit("profile: article, ", ""), 401, svcauth.CheckType},
		{"sessions alone", boundWriter, edit("allow: [POST /user/, GET /user/*], act_for: ['https://census.service/user/*']", "sessions: true"), 401, svcauth.CheckType},
		{"no expiry is no longer allowed", noExpiryWriter, edit("insecure_no_expiry: true, ", ""), 401, svcauth.CheckTime},
		{"call is no longer allowed", boundWriter, edit("POST /user/, ", ""), 403, svcauth.CheckAllow},
		{"subject is no longer allowed", boundWriter, edit("/user/*'", "/admin/*'"), 403, svcauth.CheckSubject},
		{"key is gone", boundWriter, func(t *testing.T, r *heraldTest) { r.writeEntry(t, boundWriter, generateKey(t, keys.EdDSA)) }, 401, svcauth.CheckKey},
		{"another key has the kid", boundWriter, underSameKid(boundWriter), 401, svcauth.CheckSignature},
		{"more is allowed", boundWriter, edit("allow: [", "allow: [PUT /user/, "), 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r, request := newSlowBodyTest(t, tt.entry)
				req := request(func() {
					tt.change(t, r)
					r.awaitReload()
				})
				if status := r.verify(req); status != tt.status || r.check != tt.check {
					t.Errorf("status %d by check %q, want %d by %q", status, r.check, tt.status, tt.check)
				}
				if tt.status == http.StatusOK {
					return
				}
				for _, c := range r.verifier.Stats().Calls {
					if c.Issuer != herald || c.Refused != tt.check {
						t.Errorf("counted as %+v", c)
					}
				}
			})
		})
	}
}

// The handler gets the caller as the trust file describes it when the body has been read.
func TestSlowBodyLosesAdmin(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r, request := newSlowBodyTest(t, strings.Replace(boundWriter, "allow:", "admin: true, allow:", 1))
		passed, err := r.verifier.Verify(request(func() {
			edit("admin: true, ", "")(t, r)
			r.awaitReload()
		}), maxBody)
		if err != nil {
			t.Fatal(err)
		}
		if caller, _ := svcauth.CallerFrom(passed.Context()); caller.Admin {
			t.Errorf("caller %+v", caller)
		}
	})
}

// A call that waits for the first keys of its issuer is checked against the trust file that is in
// force when the keys have arrived.
func TestCallWaitsForKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *heraldTest)
		status int
	}{
		{"no change", func(*testing.T, *heraldTest) {}, http.StatusOK},
		{"call is no longer allowed", edit("GET /user/*", "GET /users/*"), http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := svcauthtest.NewIssuer(t, herald)
				n := &network{answer: func(req *http.Request) (*http.Response, error) {
					<-time.After(2900 * time.Millisecond)
					res := httptest.NewRecorder()
					keys.Handler(keySet{h.Key}).ServeHTTP(res, req)
					return res.Result(), nil
				}}
				file := filepath.Join(t.TempDir(), "trust.yaml")
				writeFile(t, file, []byte("issuers:\n"))
				addDiscovery(t, file, herald)
				r := n.startVerifier(t, file)
				tt.change(t, &heraldTest{runningVerifier: r})
				r.expect(t, tt.status, h)
			})
		})
	}
}

// The handler itself reads the body of a call with a session token. The read fails if the token
// expires, or its issuer is no longer trusted, before the body has arrived.
func TestSlowSessionBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *heraldTest)
		check  svcauth.Check
	}{
		{"no change", func(*testing.T, *heraldTest) {}, ""},
		{"expired", func(*testing.T, *heraldTest) { <-time.After(16 * time.Minute) }, svcauth.CheckTime},
		{"issuer is gone", edit(herald, "https://other.service/"), svcauth.CheckIssuer},
		{"sessions are no longer accepted", edit("sessions: true, ", ""), svcauth.CheckType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r, request := newSlowBodyTest(t, sessionHerald)
				passed, err := r.verifier.Verify(request(func() {
					tt.change(t, r)
					r.awaitReload()
				}), maxBody)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(passed.Body)
				refusal, refused := errors.AsType[*svcauth.Refusal](err)
				switch {
				case tt.check == "" && (err != nil || string(body) != newUser):
					t.Errorf("%q, %v", body, err)
				case tt.check != "" && (!refused || refusal.Check != tt.check || len(body) > 0):
					t.Errorf("%q, %v, want a refusal by check %s", body, err, tt.check)
				case tt.check != "" && !strings.Contains(r.log.String(), "check="+string(tt.check)):
					t.Errorf("log %s", r.log.String())
				}
			})
		})
	}
}

// A slowStore is a replay store that calls functions before and after it records a token.
type slowStore struct {
	svcauth.ReplayStore
	before, after func()
}

func (s *slowStore) Burn(ctx context.Context, issuer, id string, until time.Time) (bool, error) {
	s.before()
	first, err := s.ReplayStore.Burn(ctx, issuer, id, until)
	s.after()
	return first, err
}

// A token that expires while the replay store is asked is refused.
func TestSlowStore(t *testing.T) {
	t.Parallel()
	nothing := func() {}
	for _, tt := range []struct {
		name   string
		change func(*world) (before, after func())
		check  svcauth.Check
	}{
		{"expired before", func(w *world) (func(), func()) { return func() { w.ahead.Store(int64(71 * time.Second)) }, nothing }, svcauth.CheckReplay},
		{"expired after", func(w *world) (func(), func()) { return nothing, func() { w.ahead.Store(int64(71 * time.Second)) } }, svcauth.CheckTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			before, after := tt.change(w)
			w.replay.ReplayStore = &slowStore{w.replay.ReplayStore, before, after}
			c := boundWrite(t, w)
			c.sign()
			if a := c.send(); a.status != http.StatusUnauthorized || a.refusal.Check != tt.check {
				t.Errorf("status %d, %v", a.status, a.refusal)
			}
		})
	}
}

// Over HTTP, a call whose token expires between 100 Continue and the body is refused, and its
// connection is used for the next call.
func TestSlowBodyOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, valid := range map[string]kind{"bound": boundWrite, "article": articleWrite} {
		w.ahead.Store(0)
		c := valid(t, w)
		c.sign()
		conn, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		answers := bufio.NewReader(conn)
		for _, ahead := range []time.Duration{72 * time.Second, 0} {
			fmt.Fprintf(conn, "POST /user/ HTTP/1.1\r\nHost: census.service\r\nJWT: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", c.token, len(c.body))
			if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != http.StatusContinue {
				t.Fatalf("%s: no 100 Continue: %v", name, err)
			}
			w.ahead.Store(int64(ahead))
			_, _ = io.WriteString(conn, c.body)
			res, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			if passed := res.StatusCode == http.StatusOK; passed != (ahead == 0) || res.Close {
				t.Errorf("%s: %s with the clock %v ahead, connection closed: %t", name, res.Status, ahead, res.Close)
			}
			w.ahead.Store(0)
		}
	}
}
