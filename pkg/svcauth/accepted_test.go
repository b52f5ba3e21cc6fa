package svcauth_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// Calls that resemble an attack of the table, but are valid, are accepted.
func TestAccepted(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name   string
		valid  kind
		change mutation
	}{
		{"token of 8 KiB", boundRead, padded8K(0)},
		{"header name in lower case", boundRead, wire(func(c *call) { c.lines, c.token = append(c.lines, "jwt:"+c.token), "" })},
		{"further claims of every type", boundRead, addClaim("x", `{"a":[1e9,-0,1.50,null,true,"😀\ud83d\ude00"]}`)},
		{"depth of 8", boundRead, addClaim("x", strings.Repeat("[", 7)+strings.Repeat("]", 7))},
		{"white space around the claims", boundRead, claimsText(func(s string) string { return "\r\n\t " + s + " \n" })},
		{"escapes in a claim", boundRead, rewrittenClaim("sub", swap("user", `\u0075ser`))},
		{"escapes in a claim's name", boundRead, all(noClaim("sub"), addClaim(`s\u0075b`, quote(user21)))},
		{"expired within the leeway", boundRead, all(timeClaim("iat", -60), timeClaim("exp", -9))},
		{"issued in the future within the leeway", boundRead, timeClaim("iat", 10)},
		{"not yet valid within the leeway", boundRead, timeClaim("nbf", 10)},
		{"lifetime of 5 minutes", boundRead, timeClaim("exp", 300)},
		{"session of 15 minutes", session, timeClaim("exp", 900)},
		{"RS256", boundBy(shopRSA), all()},
		{"ES256", boundBy(shopEC), all()},
		{"article token without kid", articleRead, noHeader("kid")},
		{"article token without typ", articleRead, noHeader("typ")},
		{"article token as the article prints it", articleWrite, all(noHeader("kid"), noHeader("typ"), noClaim("iat", "jti"))},
		{"article token without iat that expires in 310 s", articleWrite, all(noClaim("iat"), timeClaim("exp", 310))},
		{"article token without jti, used again", articleWrite, all(noClaim("jti"), replayed)},
		{"no-expiry token with an expiry", noExpiryWrite, timeClaim("exp", 60)},
		{"read token used again", boundRead, replayed},
		{"session token used again", session, replayed},
		{"session token on a write", sessionWrite, all()},
		{"HEAD where GET is allowed", boundRead, to("HEAD", readPath)},
		{"slash at the end left out", boundRead, to("GET", "/user/42")},
		{"user beyond ASCII", boundRead, to("GET", "/user/%C3%A9/")},
		{"absolute form", boundRead, target("http://10.0.0.7:8443" + readPath)},
		{"Host rewritten by a proxy", boundRead, wire(func(c *call) { c.host = "10.0.0.7:8443" })},
		{"subject is the caller", boundRead, stringClaim("sub", herald)},
		{"subject without its last slash", boundRead, stringClaim("sub", "https://census.service/user/21")},
		{"empty body", boundWrite, signedBody("")},
		{"chunked body", boundWrite, framed((*call).chunked)},
		{"chunked empty body", boundWrite, all(signedBody(""), framed((*call).chunked))},
		{"body at the limit", boundWrite, signedBody(strings.Repeat("x", maxBody))},
		{"signed body on GET", boundRead, signedBody(newUser)},
		{"empty chunked body on GET without bdy", boundRead, framed((*call).chunked)},
		{"empty chunked body on GET with an article token without bdy", articleRead, framed((*call).chunked)},
		{"body of no bytes on GET without bdy", boundRead, wire(func(c *call) { c.lines = append(c.lines, "Content-Length: 0") })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.valid(t, w)
			tt.change(c)
			c.sign()
			c.mustPass()
		})
	}
}

// The handler gets the caller and the subject, in two different types, and reads the body as it was
// sent.
func TestIdentities(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name  string
		valid kind
		want  identity
	}{
		{"bound", boundRead, identity{svcauth.Caller{Issuer: herald, KeyID: w.herald.kid}, user21, ""}},
		{"bound write", boundWrite, identity{svcauth.Caller{Issuer: herald, KeyID: w.herald.kid}, user21, newUser}},
		{"article write", articleWrite, identity{svcauth.Caller{Issuer: another, KeyID: w.another.kid}, user21, newUser}},
		{"admin", boundBy(shopEd), identity{svcauth.Caller{Issuer: shop, KeyID: w.shopEd.kid, Admin: true}, user21, ""}},
		{"session of an issuer with admin power", shopSession, identity{svcauth.Caller{Issuer: shop, KeyID: w.shopEd.kid, Session: true}, shop + "user/21/", ""}},
		{"session write", sessionWrite, identity{svcauth.Caller{Issuer: login, KeyID: w.login.kid, Session: true}, login + "user/21/", newUser}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.valid(t, w)
			c.sign()
			if got := c.mustPass(); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
	if caller, ok := svcauth.CallerFrom(t.Context()); ok {
		t.Errorf("caller %v in a context that no verifier made", caller)
	}
	if subject, ok := svcauth.SubjectFrom(t.Context()); ok {
		t.Errorf("subject %v in a context that no verifier made", subject)
	}
}

// The replay store keeps a used token for as long as a verifier could accept it again.
func TestReplayRecordLifetime(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name  string
		valid kind
		want  time.Time
	}{
		{"bound", boundWrite, w.now.Add(60*time.Second + svcauth.Leeway)},
		{"article", articleWrite, w.now.Add(60*time.Second + svcauth.Leeway)},
		{"no-expiry", noExpiryWrite, time.Time{}},
	} {
		c := tt.valid(t, w)
		c.sign()
		c.mustPass()
		if got := w.replay.until; !got.Equal(tt.want) {
			t.Errorf("%s: until %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A session token does not cover the body. The body limit applies all the same.
func TestSessionBodyOverLimit(t *testing.T) {
	w := newWorld(t)
	c := sessionWrite(t, w)
	c.body = strings.Repeat("x", maxBody+1)
	c.sign()
	if a := c.send(); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", a.status)
	}
}

// A client that sends Expect: 100-continue gets 100 for a good token only. A bad token is refused
// before the body is read.
func TestUnauthenticatedBodyIsNotRead(t *testing.T) {
	w := newWorld(t)
	const expect, bad = "Expect: 100-continue\r\n", "JWT: bad\r\n"
	good := boundWrite(t, w)
	good.sign()
	for _, tt := range []struct {
		name, header string
		want         string
	}{
		{"Expect, good token", expect + "JWT: " + good.token + "\r\n", "HTTP/1.1 100 Continue\r\n"},
		{"Expect, bad token", expect + bad, "HTTP/1.1 401 Unauthorized\r\n"},
		{"no Expect, bad token", bad, "HTTP/1.1 401 Unauthorized\r\n"},
		{"no Expect, no token", "", "HTTP/1.1 401 Unauthorized\r\n"},
	} {
		for _, framing := range []string{fmt.Sprintf("Content-Length: %d", len(newUser)), "Transfer-Encoding: chunked"} {
			t.Run(tt.name+", "+framing, func(t *testing.T) {
				conn, err := net.Dial("tcp", w.address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
				_, _ = io.WriteString(conn, "POST /user/ HTTP/1.1\r\nHost: census.service\r\n"+framing+"\r\n"+tt.header+"\r\n")
				got, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil || got != tt.want {
					t.Errorf("%q, %v; want %q", got, err, tt.want)
				}
				if strings.Contains(tt.want, "100") {
					return
				}
				if _, err := io.Copy(io.Discard, conn); err != nil {
					t.Errorf("the connection is not closed: %v", err)
				}
			})
		}
	}
}

// The body of a refused call is not read, and the client gets the refusal although it goes on
// sending.
func TestRefusedBodyIsNotRead(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewUnstartedServer(w.verifier.Require(maxBody)(http.HandlerFunc(w.whoAmI)))
	counted := &countingListener{Listener: server.Listener}
	server.Listener = counted
	server.Start()
	t.Cleanup(server.Close)
	const size = 200_000
	for _, framing := range []string{fmt.Sprintf("Content-Length: %d\r\n\r\n", size), "Transfer-Encoding: chunked\r\n\r\n30d40\r\n"} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		head := "POST /user/ HTTP/1.1\r\nHost: census.service\r\nJWT: bad\r\n" + framing
		counted.read.Store(0)
		_, _ = io.WriteString(conn, head)
		answer := bufio.NewReader(conn)
		if got, err := answer.ReadString('\n'); err != nil || got != "HTTP/1.1 401 Unauthorized\r\n" {
			t.Errorf("%q, %v", got, err)
		}
		_, _ = io.WriteString(conn, strings.Repeat("x", size))
		_, _ = io.Copy(io.Discard, answer) // until the connection is closed or reset
		conn.Close()
		if read := counted.read.Load(); read > int64(len(head)) {
			t.Errorf("%d bytes of the body were read", read-int64(len(head)))
		}
	}
}

// A refusal reaches a client that sends its whole body before it reads the answer, also over TLS
// and through other middleware.
func TestRefusalArrives(t *testing.T) {
	t.Parallel()
	verifier := svcauthtest.NewVerifier(t, census, svcauthtest.Trust{Issuer: svcauthtest.NewIssuer(t, herald), Allow: []string{"POST /user/"}})
	handler := verifier.Require(maxBody)(http.NotFoundHandler())
	for name, start := range map[string]func(*httptest.Server){"plain": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handler.ServeHTTP(wrappingWriter{w}, r)
			}))
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			start(server)
			t.Cleanup(server.Close)
			for range 50 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/user/", strings.NewReader(strings.Repeat("x", 200_000)))
				if err != nil {
					t.Fatal(err)
				}
				res, err := server.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != http.StatusUnauthorized {
					t.Errorf("status %d", res.StatusCode)
				}
			}
		})
	}
}

// A wrappingWriter is a response writer of other middleware, around net/http's.
type wrappingWriter struct{ http.ResponseWriter }

func (w wrappingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A countingListener counts the bytes that are read from its connections.
type countingListener struct {
	net.Listener
	read atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &countingConn{conn, l}, err
}

type countingConn struct {
	net.Conn
	listener *countingListener
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.listener.read.Add(int64(n))
	return n, err
}

// Over HTTP/2 one connection carries many calls. A refused call with a body does not close it.
func TestHTTP2(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewUnstartedServer(w.verifier.Require(maxBody)(http.HandlerFunc(w.whoAmI)))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	good := boundWrite(t, w)
	good.sign()
	for i, tt := range []struct {
		token  string
		status int
	}{
		{good.token, http.StatusOK},
		{"bad", http.StatusUnauthorized},
		{good.token, http.StatusUnauthorized}, // a replay
		{"", http.StatusUnauthorized},
	} {
		var reused bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/user/", strings.NewReader(newUser))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(svcauth.Header, tt.token)
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status || res.ProtoMajor != 2 || reused != (i > 0) {
			t.Errorf("call %d: %s %s, connection reused: %t", i, res.Proto, res.Status, reused)
		}
	}
}

// The log line of a refused call has no mail address, even if the path has one.
func TestLogLineWithoutAddress(t *testing.T) {
	w := newWorld(t)
	c := boundRead(t, w)
	to("GET", "/user/jane.doe@example.com/%40home/")(c)
	c.sign()
	c.send()
	if log := w.log.String(); strings.Contains(log, "jane") || strings.Contains(log, "@home") || !strings.Contains(log, `"path":"/user/(with an @)/(with an @)/"`) {
		t.Errorf("log %s", log)
	}
}

// The log line of a refused call is short, however long the values in the call are.
func TestLogLineIsShort(t *testing.T) {
	w := newWorld(t)
	for _, change := range []mutation{
		header(strings.Repeat("x", 5000), "1"),
		all(addClaim(strings.Repeat("x", 2500), "1"), addClaim(strings.Repeat("x", 2500), "1")),
		addClaim(strings.Repeat("<", 5000), "1e"),
		stringClaim("iss", strings.Repeat("x", 5000)),
		header("kid", quote(strings.Repeat("x", 5000))),
		header("typ", quote(strings.Repeat("x", 5000))),
		stringClaim("htm", strings.Repeat("x", 5000)),
		stringClaim("sub", strings.Repeat("x", 5000)),
		to("GET", "/"+strings.Repeat("x", 4000)),
	} {
		c := boundRead(t, w)
		change(c)
		c.sign()
		w.log.Reset()
		a := c.send()
		if a.refusal == nil {
			t.Fatalf("not refused:\n%s", c.text())
		}
		if size := len(w.log.String()); size > 1500 {
			t.Errorf("refused by check %s with a log line of %d bytes", a.refusal.Check, size)
		}
	}
}
