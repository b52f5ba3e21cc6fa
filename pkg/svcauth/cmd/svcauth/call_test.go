package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
	"example.com/micromachine/pkg/svcauth/trust"
)

const (
	census  = "https://census.service/"
	herald  = "https://herald.service/"
	shop    = "https://shop.service/"
	another = "https://another.service/"
	user21  = "https://census.service/user/21/"
)

// A callee is herald.service over TLS. It lets shop.service in and responds with what it received.
type callee struct {
	ca, connectTo, keyFile string
	profile                trust.Profile
}

// received is the callee's response.
type received struct {
	Method, URI, Host, Body string
	Header                  http.Header
	Caller                  svcauth.Caller
	Subject                 svcauth.Subject
}

func newCallee(tb testing.TB, profile trust.Profile) *callee {
	tb.Helper()
	issuer := svcauthtest.NewIssuer(tb, shop)
	if profile == trust.Article {
		issuer = svcauthtest.NewArticleIssuer(tb, shop)
	}
	keyFile := filepath.Join(tb.TempDir(), "shop.pem")
	if err := issuer.Key.Save(keyFile); err != nil {
		tb.Fatal(err)
	}
	verifier := svcauthtest.NewVerifier(tb, herald, svcauthtest.Trust{
		Issuer: issuer,
		Allow:  []string{"GET /", "GET /*", "POST /notification/", "PUT /notification/", "DELETE /notification/"},
		ActFor: []string{"https://census.service/user/*"},
	})
	c := &callee{keyFile: keyFile, profile: profile}
	c.ca, c.connectTo = serve(tb, "herald.service", verifier.Require(4<<20)(http.HandlerFunc(echo)))
	return c
}

// serve serves a host over TLS, and returns the values of --ca and --connect-to for it.
func serve(tb testing.TB, host string, handler http.Handler) (ca, connectTo string) {
	tb.Helper()
	dir := tb.TempDir()
	succeed(tb, "dev-ca", "--dir", dir, host)
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, host+".pem"), filepath.Join(dir, host+"-key.pem"))
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.EnableHTTP2 = true
	server.StartTLS()
	tb.Cleanup(server.Close)
	return filepath.Join(dir, "ca.pem"), host + ":443:" + server.Listener.Addr().String()
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	got := received{Method: r.Method, URI: r.RequestURI, Host: r.Host, Body: string(body), Header: r.Header}
	got.Caller, _ = svcauth.CallerFrom(r.Context())
	got.Subject, _ = svcauth.SubjectFrom(r.Context())
	w.Header().Set("X-Method", r.Method)
	_ = json.NewEncoder(w).Encode(got)
}

// args returns a command line for a call to the callee.
func (c *callee) args(command string, more ...string) []string {
	return append([]string{
		command, "--key", c.keyFile, "--issuer", shop, "--subject", user21, "--profile", string(c.profile),
		"--ca", c.ca, "--connect-to", c.connectTo,
	}, more...)
}

// check checks a response of the callee.
func (c *callee) check(tb testing.TB, answer string) received {
	tb.Helper()
	var got received
	if err := json.Unmarshal([]byte(answer), &got); err != nil {
		tb.Fatalf("%v in the answer %q", err, answer)
	}
	if got.Caller.Issuer != shop || got.Subject != user21 {
		tb.Errorf("called by %q for %q", got.Caller.Issuer, got.Subject)
	}
	return got
}

// A callTest is a request, as arguments of a command, and what the callee must receive.
type callTest struct {
	name  string
	args  []string
	stdin string
	want  received // its Header: lines that must be among those received
}

// callTests are sent by request and by curl.
func callTests(tb testing.TB) []callTest {
	tb.Helper()
	dir := tb.TempDir()
	file := filepath.Join(dir, "it's a body.json")
	fileBody := "{\"a\":\r\n\t\"@ü\"}\n\n"
	if err := os.WriteFile(file, []byte(fileBody), 0o600); err != nil {
		tb.Fatal(err)
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	large := strings.Repeat(`{"n":"%d \ 'x'"}`+"\n", 80_000)
	post := func(body string) received { return received{Method: "POST", URI: "/notification/", Body: body} }
	tests := []callTest{
		{name: "get", args: []string{herald + "user/?a=b&c=%20d"}, want: received{Method: "GET", URI: "/user/?a=b&c=%20d"}},
		{name: "bare host", args: []string{"https://herald.service"}, want: received{Method: "GET", URI: "/"}},
		{name: "query of a bare host", args: []string{"https://herald.service?x=1"}, want: received{Method: "GET", URI: "/?x=1"}},
		{name: "empty query", args: []string{herald + "user/?"}, want: received{Method: "GET", URI: "/user/?"}},
		{name: "port and case", args: []string{"HTTPS://Herald.service:443/user/"}, want: received{Method: "GET", URI: "/user/"}},
		{name: "fragment", args: []string{herald + "user/#top"}, want: received{Method: "GET", URI: "/user/"}},
		{name: "characters of globs", args: []string{herald + "user/?a[]={1,2}&b=[1-3]"}, want: received{Method: "GET", URI: "/user/?a[]={1,2}&b=[1-3]"}},
		{name: "characters of shells", args: []string{herald + "user/?a=$HOME&b=`id`&c='!;*~"}, want: received{Method: "GET", URI: "/user/?a=$HOME&b=`id`&c='!;*~"}},
		{name: "escapes", args: []string{herald + "%C3%BC/?q=%2f%2E"}, want: received{Method: "GET", URI: "/%C3%BC/?q=%2f%2E"}},
		{
			name: "headers", args: []string{herald + "user/", "--header", "Accept: text/html", "--header", "X-Quote: it's \"$x\""},
			want: received{Method: "GET", URI: "/user/", Header: http.Header{"Accept": {"text/html"}, "X-Quote": {`it's "$x"`}}},
		},
		{name: "body", args: []string{"--body", `{"it's":"$HOME é"}`, herald + "notification/"}, want: post(`{"it's":"$HOME é"}`)},
		{name: "body that looks like a file", args: []string{"--body", "@/etc/passwd", herald + "notification/"}, want: post("@/etc/passwd")},
		{name: "body that looks like a flag", args: []string{"--body", "--x\n", herald + "notification/"}, want: post("--x\n")},
		{name: "empty body", args: []string{"--body", "", herald + "notification/"}, want: post("")},
		{name: "no body", args: []string{"--method", "POST", herald + "notification/"}, want: post("")},
		{name: "every byte", args: []string{"--body-file", "-", herald + "notification/"}, stdin: string(every), want: post(string(every))},
		{name: "formats and digits", args: []string{"--body-file", "-", herald + "notification/"}, stdin: "%s\x017\\n%%", want: post("%s\x017\\n%%")},
		{name: "large body", args: []string{"--body-file", "-", herald + "notification/"}, stdin: large, want: post(large)},
		{name: "long line", args: []string{"--body-file", "-", herald + "notification/"}, stdin: "it's " + strings.Repeat("x", 1<<18), want: post("it's " + strings.Repeat("x", 1<<18))},
		{name: "body file", args: []string{"--body-file", file, herald + "notification/"}, want: post(fileBody)},
		{name: "put", args: []string{"--method", "PUT", "--body", "x", herald + "notification/"}, want: received{Method: "PUT", URI: "/notification/", Body: "x"}},
		{name: "delete", args: []string{"--method", "DELETE", herald + "notification/"}, want: received{Method: "DELETE", URI: "/notification/"}},
		{name: "get with a body", args: []string{"--method", "GET", "--body", "x", herald + "user/"}, want: received{Method: "GET", URI: "/user/", Body: "x"}},
		{
			name: "content type", args: []string{"--body", "x", "--header", "content-type: text/plain", herald + "notification/"},
			want: received{Method: "POST", URI: "/notification/", Body: "x", Header: http.Header{"Content-Type": {"text/plain"}}},
		},
	}
	for i := range tests {
		if want := &tests[i].want; want.Body != "" && want.Header == nil {
			want.Header = http.Header{"Content-Type": {"application/json"}}
		}
	}
	return tests
}

func (c callTest) check(tb testing.TB, got received) {
	tb.Helper()
	if got.Method != c.want.Method || got.URI != c.want.URI || got.Host != "herald.service" {
		tb.Errorf("received %s %s for %s, want %s %s", got.Method, got.URI, got.Host, c.want.Method, c.want.URI)
	}
	// The response is JSON, which has the same character for all bytes that are not UTF-8. The token's
	// bdy has covered them.
	if want := strings.ToValidUTF8(c.want.Body, ""); strings.ReplaceAll(got.Body, "\uFFFD", "") != want {
		tb.Errorf("received the body %.200q, want %.200q", got.Body, want)
	}
	for name, values := range c.want.Header {
		if fmt.Sprint(got.Header[name]) != fmt.Sprint(values) {
			tb.Errorf("received %s: %q, want %q", name, got.Header[name], values)
		}
	}
}

// profiles runs a test with each profile.
func profiles(t *testing.T, test func(t *testing.T, c *callee)) {
	t.Helper()
	for _, profile := range []trust.Profile{trust.Bound, trust.Article} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			test(t, newCallee(t, profile))
		})
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	profiles(t, func(t *testing.T, c *callee) {
		for _, test := range callTests(t) {
			t.Run(test.name, func(t *testing.T) {
				r := execute(t, test.stdin, c.args("request", test.args...)...)
				if r.status != exitOK || r.err != "" {
					t.Fatalf("status %d: %s%s", r.status, r.err, r.out)
				}
				test.check(t, c.check(t, r.out))
			})
		}
	})
}

func TestCurl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	profiles(t, func(t *testing.T, c *callee) {
		for _, test := range callTests(t) {
			t.Run(test.name, func(t *testing.T) {
				line := c.curlLine(t, test.stdin, test.args...)
				test.check(t, c.check(t, shell(t, line)))
			})
		}
	})
}

// curlLine returns what token --curl prints.
func (c *callee) curlLine(tb testing.TB, stdin string, args ...string) string {
	tb.Helper()
	r := execute(tb, stdin, c.args("token", append(args, "--curl")...)...)
	if r.status != exitOK || r.err != "" || strings.Count(r.out, "\n") != 1 {
		tb.Fatalf("status %d: %s%.400q", r.status, r.err, r.out)
	}
	return r.out
}

// shell runs a command line by the standard input of a shell, because an argument of "sh -c" can be
// too short for it.
func shell(tb testing.TB, line string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "sh", "-s")
	cmd.Env = append(os.Environ(), "https_proxy=http://127.0.0.1:1", "CURL_HOME="+tb.TempDir())
	cmd.Stdin = strings.NewReader(line)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%v: %s\n%.2000s", err, &stderr, line)
	}
	return string(out)
}

func TestCurlHead(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	c := newCallee(t, trust.Bound)
	head := shell(t, c.curlLine(t, "", "--method", "HEAD", herald+"user/"))
	if !strings.HasPrefix(head, "HTTP/2 200") || !strings.Contains(head, "x-method: HEAD") {
		t.Errorf("%q", head)
	}
}

// A path with dots is never allowed. This refusal, and not that of a token for another URL, shows
// that curl sent the path as it was signed.
func TestCurlKeepsDots(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	c := newCallee(t, trust.Bound)
	for _, path := range []string{"user/../user/", "user/%2e%2E/user/", "./user/", "user/.", "a..b/.c/?../"} {
		if answer := shell(t, c.curlLine(t, "", herald+path)); !strings.Contains(answer, "urn:svcauth:problem:not-allowed") {
			t.Errorf("%s: %s", path, answer)
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	c := newCallee(t, trust.Bound)
	args := c.args("token", "--body", "x", "--header", "Host: other.service", herald+"notification/")
	token := strings.TrimSpace(succeed(t, args...))
	read, err := readToken(token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"iss": shop, "aud": herald, "sub": user21, "htm": "POST", "htu": herald + "notification/",
		"bdy": "sha-256=:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=:",
	} {
		if got := read.says(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	var out tokenOutput
	if err := json.Unmarshal([]byte(succeed(t, append(args, "--json", "--curl", "--audience", herald)...)), &out); err != nil {
		t.Fatal(err)
	}
	if out.Audience != herald || out.Method != http.MethodPost || out.URL != herald+"notification/" || !strings.Contains(out.Curl, out.Token) {
		t.Errorf("%+v", out)
	}
}

func TestRequestInclude(t *testing.T) {
	t.Parallel()
	c := newCallee(t, trust.Bound)
	for _, flag := range []string{"-i", "--include"} {
		out := succeed(t, c.args("request", flag, herald+"user/")...)
		head, body, ok := strings.Cut(out, "\r\n\r\n")
		if !ok || !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") || !strings.Contains(head, "\r\nX-Method: GET") {
			t.Errorf("%s: %q", flag, out)
		}
		c.check(t, body)
	}
}

func TestRequestJSON(t *testing.T) {
	t.Parallel()
	c := newCallee(t, trust.Bound)
	var out responseOutput
	if err := json.Unmarshal([]byte(succeed(t, c.args("request", "--json", herald+"user/")...)), &out); err != nil {
		t.Fatal(err)
	}
	if out.Status != http.StatusOK || out.Headers.Get("X-Method") != http.MethodGet || out.BodyBase64 != nil {
		t.Errorf("%+v", out)
	}
	c.check(t, *out.Body)

	r := execute(t, "", c.args("request", "--json", "--method", "PATCH", herald+"user/")...)
	r.mustFail(t, exitFailed, "the response is 403 Forbidden")
	if err := json.Unmarshal([]byte(r.out), &out); err != nil || out.Status != http.StatusForbidden || !strings.Contains(*out.Body, "not-allowed") {
		t.Errorf("%v: %s", err, r.out)
	}
}

func TestRequestJSONOfBytes(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("\xff\x00"))}
	if err := (stdio{out: &out}).responseJSON(res); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got["body_base64"] != "/wA=" || got["body"] != nil {
		t.Errorf("%v: %s", err, &out)
	}
}

func TestRequestRefused(t *testing.T) {
	t.Parallel()
	c := newCallee(t, trust.Bound)
	r := execute(t, "", c.args("request", "--method", "PATCH", herald+"user/")...)
	r.mustFail(t, exitFailed, "the response is 403 Forbidden")
	if !strings.Contains(r.out, "urn:svcauth:problem:not-allowed") {
		t.Errorf("stdout %q", r.out)
	}
}

func TestCallErrors(t *testing.T) {
	t.Parallel()
	c := newCallee(t, trust.Bound)
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no issuer":          {[]string{"--issuer", "", herald}, exitUsage, "--issuer is missing"},
		"bad issuer":         {[]string{"--issuer", "https://shop.service", herald}, exitUsage, "issuer: "},
		"no subject":         {[]string{"--subject", "", herald}, exitUsage, "--subject is missing"},
		"no key":             {[]string{"--key", "", herald}, exitUsage, "--key is missing"},
		"missing key":        {[]string{"--key", "no-such.pem", herald}, exitFailed, "no-such.pem"},
		"other audience":     {[]string{"--audience", "https://census.service/", herald}, exitUsage, "not to https://census.service/"},
		"bad audience":       {[]string{"--audience", "herald", herald}, exitUsage, "audience: "},
		"unknown profile":    {[]string{"--profile", "papers", herald}, exitUsage, "papers"},
		"long lifetime":      {[]string{"--lifetime", "6m", herald}, exitUsage, "6m"},
		"no lifetime":        {[]string{"--lifetime", "0s", herald}, exitUsage, "--lifetime 0"},
		"plain http":         {[]string{"http://herald.service/"}, exitUsage, "not an https URL"},
		"password in URL":    {[]string{"https://u:secret@herald.service/"}, exitUsage, "u:xxxxx@"},
		"blank in URL":       {[]string{herald + "a b"}, exitUsage, "percent-encoded"},
		"broken URL":         {[]string{herald + "%zz"}, exitUsage, "parsing URL"},
		"bad method":         {[]string{"--method", "GET /", herald}, exitUsage, "not a method"},
		"head with body":     {[]string{"--method", "HEAD", "--body", "", herald}, exitUsage, "HEAD"},
		"two bodies":         {[]string{"--body", "x", "--body-file", "-", herald}, exitUsage, "exclude each other"},
		"missing body":       {[]string{"--body-file", "no-such.json", herald}, exitFailed, "no-such.json"},
		"header without :":   {[]string{"--header", "Accept", herald}, exitUsage, "NAME: VALUE"},
		"header name":        {[]string{"--header", "A b: c", herald}, exitUsage, "not a header name"},
		"header with break":  {[]string{"--header", "A: b\r\nC: d", herald}, exitUsage, "control character"},
		"header of ours":     {[]string{"--header", "jwt: x", herald}, exitUsage, "JWT"},
		"header of the wire": {[]string{"--header", "content-length: 1", herald}, exitUsage, "set by HTTP itself"},
		"json and include":   {[]string{"--json", "--include", herald}, exitUsage, "--include"},
		"bad connect-to":     {[]string{"--connect-to", "127.0.0.1:8441", herald}, exitUsage, "--connect-to"},
		"missing CA":         {[]string{"--ca", "no-such-ca.pem", herald}, exitFailed, "no-such-ca.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, command := range [][]string{{"request"}, {"token", "--curl"}} {
				r := execute(t, "", append(c.args(command[0], command[1:]...), test.args...)...)
				r.mustFail(t, test.status, test.want)
				if r.out != "" || strings.Contains(r.err, "secret") {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		r := execute(t, "", c.args("request", "--connect-to", "herald.service:443:127.0.0.1:1", herald)...)
		r.mustFail(t, exitFailed, "connection refused")
	})
	t.Run("unknown authority", func(t *testing.T) {
		t.Parallel()
		r := execute(t, "", c.args("request", "--ca", "", herald)...)
		r.mustFail(t, exitFailed, "certificate")
	})
}

func TestCancelledRequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	status := run(ctx, newCallee(t, trust.Bound).args("request", herald), nil, &stdout, &stderr)
	result{status, stdout.String(), stderr.String()}.mustFail(t, exitFailed, "context canceled")
}
