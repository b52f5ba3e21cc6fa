package svcauth_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// The services of the tests, with what Census's trust file allows them.
const (
	census   = "https://census.service/"    // the receiver
	herald   = "https://herald.service/"    // bound tokens, one EdDSA key
	shop     = "https://shop.service/"      // bound tokens and session tokens, a key of each algorithm, trusted with admin power
	another  = "https://another.service/"   // article tokens, one key
	pair     = "https://pair.service/"      // article tokens, two keys
	noExpiry = "https://no-expiry.service/" // article tokens that need not expire, and session tokens
	login    = "https://login.service/"     // session tokens and no other
)

const (
	user21   = "https://census.service/user/21/"
	maxBody  = 1 << 10
	readPath = "/user/42/?expand=viewer"
	newUser  = `{"name":"Census User"}`
	mounted  = "/mounted" // below it the same resources are reached through http.StripPrefix
)

// A world is the service Census with a verifier and a real listener, and the keys of all its
// callers.
type world struct {
	verifier *svcauth.Verifier
	address  string
	now      time.Time    // the verifier's clock, which stands still
	ahead    atomic.Int64 // nanoseconds by which the clock is moved forward

	herald, shopRSA, shopEC, shopEd, another, pairA, pairB, noExpiry, login *forger

	sets                                           publishedSets
	vault, emptied, vaultEven, vaultPrime, vault11 *forger

	replay   *breakableReplay
	refusals chan *refusal
	log      logBuffer
	reached  atomic.Int32 // number of requests that the handler got
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{
		now:    time.Now().Truncate(time.Second),
		herald: newForger(tb, keys.EdDSA), another: newForger(tb, keys.EdDSA), login: newForger(tb, keys.EdDSA),
		pairA: newForger(tb, keys.EdDSA), pairB: newForger(tb, keys.EdDSA), noExpiry: newForger(tb, keys.EdDSA),
		shopRSA: newForger(tb, keys.RS256), shopEC: newForger(tb, keys.ES256), shopEd: newForger(tb, keys.EdDSA),
		vault: newForger(tb, keys.EdDSA), emptied: newForger(tb, keys.EdDSA),
		vaultEven:  newFactored(tb, "even", 2, mersenne(2203)),
		vaultPrime: newFactored(tb, "prime", 1, mersenne(2203)),
		vault11:    newFactored(tb, "eleven", 11, mersenne(2203)),
		replay:     &breakableReplay{ReplayStore: svcauth.NewMemoryReplay()},
		refusals:   make(chan *refusal, 100),
	}
	w.sets.publish(vault, w.vault, w.herald, w.vaultEven, w.vaultPrime, w.vault11)
	w.sets.publish(emptied, w.emptied)
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, TrustFile: w.trustFile(tb), Replay: w.replay,
		Logger:     slog.New(refusalHandler{slog.NewJSONHandler(&w.log, nil), func(r *refusal) { w.refusals <- r }}),
		Now:        func() time.Time { return w.now.Add(time.Duration(w.ahead.Load())) },
		HTTPClient: &http.Client{Transport: &w.sets},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(verifier.Close)
	w.verifier = verifier
	for slices.ContainsFunc(verifier.Stats().KeySets, func(s svcauth.KeySetStats) bool { return s.Fetched.IsZero() }) {
		time.Sleep(time.Millisecond) // a test may set the clock only when no fetch reads it in the background
	}
	protected := verifier.Require(maxBody)(http.HandlerFunc(w.whoAmI))
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, mounted+"/") {
			http.StripPrefix(mounted, protected).ServeHTTP(rw, r)
			return
		}
		protected.ServeHTTP(rw, r)
	}))
	tb.Cleanup(server.Close)
	w.address = server.Listener.Addr().String()
	return w
}

// A refusal is a [svcauth.Refusal] as it is logged.
type refusal struct {
	Check  svcauth.Check
	Reason string
}

// A refusalHandler handles log records with another handler, and reports each refused call.
type refusalHandler struct {
	slog.Handler
	report func(*refusal)
}

// Handle implements [slog.Handler].
func (h refusalHandler) Handle(ctx context.Context, record slog.Record) error {
	err := h.Handler.Handle(ctx, record)
	if record.Message != "call refused" {
		return err
	}
	r := &refusal{}
	record.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "check":
			r.Check = svcauth.Check(a.Value.String())
		case "reason":
			r.Reason = a.Value.String()
		}
		return true
	})
	h.report(r)
	return err
}

func (w *world) trustFile(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	var yaml strings.Builder
	yaml.WriteString("issuers:\n")
	entry := func(issuer, more string, keys ...*forger) {
		var public []byte
		for _, k := range keys {
			public = append(public, k.public...)
		}
		file := strings.TrimSuffix(strings.TrimPrefix(issuer, "https://"), ".service/") + ".pub.pem"
		writeFile(tb, filepath.Join(dir, file), public)
		fmt.Fprintf(&yaml, "  - issuer: %s\n    keys: %s\n%s", issuer, file, more)
	}
	const calls = "    allow: [GET /user/*, POST /user/, PUT /user/]\n    act_for: [https://census.service/user/*]\n"
	entry(herald, calls, w.herald)
	entry(shop, calls+"    sessions: true\n    admin: true\n", w.shopRSA, w.shopEC, w.shopEd)
	entry(another, calls+"    profile: article\n", w.another)
	entry(pair, calls+"    profile: article\n", w.pairA, w.pairB)
	entry(noExpiry, calls+"    profile: article\n    insecure_no_expiry: true\n    sessions: true\n", w.noExpiry)
	entry(login, "    sessions: true\n", w.login)
	for _, issuer := range []string{vault, emptied} {
		fmt.Fprintf(&yaml, "  - issuer: %s\n    keys: discover\n%s", issuer, calls)
	}
	file := filepath.Join(dir, "trust.yaml")
	writeFile(tb, file, []byte(yaml.String()))
	return file
}

// whoAmI answers with the identity that the verifier put into the context, and the body as the
// handler reads it.
func (w *world) whoAmI(rw http.ResponseWriter, r *http.Request) {
	w.reached.Add(1)
	caller, _ := svcauth.CallerFrom(r.Context())
	subject, _ := svcauth.SubjectFrom(r.Context())
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	_ = json.NewEncoder(rw).Encode(identity{caller, subject, string(body)})
}

type identity struct {
	Caller  svcauth.Caller
	Subject svcauth.Subject
	Body    string
}

// A breakableReplay is a replay store that returns an error when the test says so.
type breakableReplay struct {
	svcauth.ReplayStore
	fault  error
	before func() // called before a token is burnt
	mu     sync.Mutex
	until  time.Time // of the last token
}

func (b *breakableReplay) Burn(ctx context.Context, issuer, id string, until time.Time) (bool, error) {
	if b.fault != nil {
		return false, b.fault
	}
	if b.before != nil {
		b.before()
	}
	b.mu.Lock()
	b.until = until
	b.mu.Unlock()
	return b.ReplayStore.Burn(ctx, issuer, id, until)
}

// A keySet is keys that are all published. The first one signs.
type keySet []*keys.Private

func (s keySet) SigningKey() *keys.Private      { return s[0] }
func (s keySet) PublishedKeys() []*keys.Private { return s }

// A call is a request and its token, in parts that can be tampered with before and after they are
// signed.
type call struct {
	tb             testing.TB
	w              *world
	method, target string
	host           string
	lines          []string            // header lines other than the token's and the body's
	frame          func(*call) string  // the end of the header and the body, as sent
	body           string              // as signed, and as sent unless frame does otherwise
	header, claims object              // of the token
	signer         *forger             // signs it
	encode         func(string) string // changes the claims' JSON before it is signed, unless nil
	encodeHeader   func(string) string
	token          string        // finished
	onWire         []func(*call) // changes to be made after signing
	beforeBody     func()        // called between 100 Continue and the body
}

// newCall returns a call that the world accepts: a token of issuer with everything that its type
// needs.
func newCall(tb testing.TB, w *world, issuer string, signer *forger, typ string) *call {
	tb.Helper()
	now := w.now.Unix()
	return &call{
		tb: tb, w: w, method: http.MethodGet, target: readPath, host: "census.service",
		signer: signer, frame: (*call).contentLength,
		header: object{{"alg", quote(signer.alg)}, {"kid", quote(signer.kid)}, {"typ", quote(typ)}},
		claims: object{
			{"iss", quote(issuer)},
			{"aud", quote(census)},
			{"sub", quote(user21)},
			{"iat", strconv.FormatInt(now, 10)},
			{"exp", strconv.FormatInt(now+60, 10)},
			{"jti", quote(rand.Text())},
		},
	}
}

// A kind makes a valid call, which an attack then changes.
type kind func(testing.TB, *world) *call

func boundRead(tb testing.TB, w *world) *call {
	tb.Helper()
	c := newCall(tb, w, herald, w.herald, "svcauth+jwt")
	to(http.MethodGet, readPath)(c)
	return c
}

func boundWrite(tb testing.TB, w *world) *call {
	tb.Helper()
	c := newCall(tb, w, herald, w.herald, "svcauth+jwt")
	to(http.MethodPost, "/user/")(c)
	c.body = newUser
	c.claims.set("bdy", quote(sha256Body(newUser)))
	return c
}

// boundBy returns a kind of read by shop, with one of its keys.
func boundBy(key func(*world) *forger) kind {
	return func(tb testing.TB, w *world) *call {
		tb.Helper()
		c := newCall(tb, w, shop, key(w), "svcauth+jwt")
		to(http.MethodGet, readPath)(c)
		return c
	}
}

func articleRead(tb testing.TB, w *world) *call {
	tb.Helper()
	return newCall(tb, w, another, w.another, "JWT")
}

func articleWrite(tb testing.TB, w *world) *call {
	tb.Helper()
	return asArticleWrite(newCall(tb, w, another, w.another, "JWT"))
}

func pairRead(tb testing.TB, w *world) *call {
	tb.Helper()
	return newCall(tb, w, pair, w.pairA, "JWT")
}

func noExpiryWrite(tb testing.TB, w *world) *call {
	tb.Helper()
	c := asArticleWrite(newCall(tb, w, noExpiry, w.noExpiry, "JWT"))
	c.claims.remove("exp")
	return c
}

func noExpirySession(tb testing.TB, w *world) *call {
	tb.Helper()
	c := newCall(tb, w, noExpiry, w.noExpiry, "session+jwt")
	c.claims.set("sub", quote(noExpiry+"user/21/"))
	return c
}

func asArticleWrite(c *call) *call {
	c.method, c.target, c.body = http.MethodPost, "/user/", newUser
	c.claims.set("bdy", quote(md5Body(newUser)))
	return c
}

func session(tb testing.TB, w *world) *call {
	tb.Helper()
	c := newCall(tb, w, login, w.login, "session+jwt")
	c.claims.set("sub", quote(login+"user/21/"))
	return c
}

func shopSession(tb testing.TB, w *world) *call {
	tb.Helper()
	c := newCall(tb, w, shop, w.shopEd, "session+jwt")
	c.claims.set("sub", quote(shop+"user/21/"))
	return c
}

func sessionWrite(tb testing.TB, w *world) *call {
	tb.Helper()
	c := session(tb, w)
	c.method, c.target, c.body = http.MethodPost, "/user/", newUser
	return c
}

// sign makes the token and then the changes that were to be made after signing.
func (c *call) sign() {
	c.tb.Helper()
	header, claims := c.header.String(), c.claims.String()
	if c.encodeHeader != nil {
		header = c.encodeHeader(header)
	}
	if c.encode != nil {
		claims = c.encode(claims)
	}
	input := base64URL([]byte(header)) + "." + base64URL([]byte(claims))
	signature, err := c.signer.sign(input)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.token = input + "." + base64URL(signature)
	for _, edit := range c.onWire {
		edit(c)
	}
}

// text returns the request in the form in which it is sent.
func (c *call) text() string {
	lines := append([]string{c.method + " " + c.target + " HTTP/1.1", "Host: " + c.host, "Connection: close"}, c.lines...)
	if c.token != "" {
		lines = append(lines, "JWT: "+c.token)
	}
	return strings.Join(lines, "\r\n") + "\r\n" + c.frame(c)
}

func (c *call) contentLength() string {
	if c.body == "" && c.method == http.MethodGet {
		return "\r\n"
	}
	return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(c.body), c.body)
}

func (c *call) chunked() string {
	if c.body == "" {
		return "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	}
	return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(c.body), c.body)
}

// An answer is the response to a call, and the logged refusal if it was refused.
type answer struct {
	status  int
	header  http.Header
	body    string
	refusal *refusal
}

// send sends the call over a new connection. net/http's client refuses to send many of these calls.
func (c *call) send() answer {
	c.tb.Helper()
	conn, err := net.Dial("tcp", c.w.address)
	if err != nil {
		c.tb.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	answers := bufio.NewReader(conn)
	text := c.text()
	if c.beforeBody != nil {
		text = c.holdBody(conn, answers)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		c.tb.Fatal(err)
	}
	_ = conn.(*net.TCPConn).CloseWrite() // there is no more to come
	res, err := http.ReadResponse(answers, &http.Request{Method: c.method})
	if err != nil {
		c.tb.Fatalf("no answer to %q: %v", c.text(), err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.tb.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
	select {
	case a.refusal = <-c.w.refusals:
	default:
	}
	return a
}

// holdBody sends the head of the request, waits for 100 Continue, calls beforeBody and returns the
// body.
func (c *call) holdBody(conn net.Conn, answers *bufio.Reader) (body string) {
	c.tb.Helper()
	c.lines = append(c.lines, "Expect: 100-continue")
	head, body, _ := strings.Cut(c.text(), "\r\n\r\n")
	if _, err := io.WriteString(conn, head+"\r\n\r\n"); err != nil {
		c.tb.Fatal(err)
	}
	if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != http.StatusContinue {
		c.tb.Fatalf("no 100 Continue: %v, %v", res, err)
	}
	c.beforeBody()
	return body
}

// mustPass sends the call and fails the test unless the handler answers it.
func (c *call) mustPass() identity {
	c.tb.Helper()
	a := c.send()
	if a.status != http.StatusOK {
		c.tb.Fatalf("status %d, %v for a call that must pass:\n%s", a.status, a.refusal, c.text())
	}
	var who identity
	if err := json.Unmarshal([]byte(a.body), &who); err != nil && c.method != http.MethodHead {
		c.tb.Fatal(err)
	}
	return who
}

// A logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBuffer) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}
