package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A receiver is herald.service's trust file, and the issuers that it trusts.
type receiver struct {
	trust                 string
	shop, another, census *svcauthtest.Issuer
}

func newReceiver(tb testing.TB) *receiver {
	tb.Helper()
	r := &receiver{
		shop:    svcauthtest.NewIssuer(tb, shop),
		another: svcauthtest.NewArticleIssuer(tb, another),
		census:  svcauthtest.NewIssuer(tb, census),
	}
	users := []string{census + "user/*"}
	r.trust = svcauthtest.WriteTrustFile(tb,
		svcauthtest.Trust{Issuer: r.shop, Allow: []string{"GET /notification/*", "POST /notification/"}, ActFor: users, Admin: true},
		svcauthtest.Trust{Issuer: r.another, Allow: []string{"POST /notification/", "GET /notification/*"}, ActFor: users},
		svcauthtest.Trust{Issuer: r.census, Sessions: true},
	)
	return r
}

// sign returns a token for a call to herald.service, without a body if body is empty.
func sign(tb testing.TB, issuer *svcauthtest.Issuer, method, target, body string, subject svcauth.Subject) string {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, target, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	issuer.Sign(tb, req, herald, subject)
	return req.Header.Get(svcauth.Header)
}

// A verifyTest is a call for verify, and the verdict.
type verifyTest struct {
	token  string
	args   []string
	check  svcauth.Check // empty: the call is let in
	reason string
	caller callerReport
	sub    svcauth.Subject
}

func (r *receiver) questions(tb testing.TB) map[string]verifyTest {
	tb.Helper()
	const read, write = herald + "notification/1/", herald + "notification/"
	session, err := r.census.Signer().SessionToken(tb.Context(), herald, user21)
	if err != nil {
		tb.Fatal(err)
	}
	get := sign(tb, r.shop, "GET", read, "", user21)
	post := sign(tb, r.shop, "POST", write, "hi", user21)
	article := sign(tb, r.another, "POST", write, "hi", user21)
	late, err := svcauth.NewSigner(svcauth.SignerConfig{
		Issuer: shop, Key: r.shop.Key, Now: func() time.Time { return time.Now().Add(-time.Hour) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	expired, err := late.SessionToken(tb.Context(), herald, shop+"x")
	if err != nil {
		tb.Fatal(err)
	}
	byShop := callerReport{Issuer: shop, KeyID: r.shop.Key.ID(), Admin: true}
	byAnother := callerReport{Issuer: another, KeyID: r.another.Key.ID()}
	byUser := callerReport{Issuer: census, KeyID: r.census.Key.ID(), Session: true}
	return map[string]verifyTest{
		"bound, read":          {token: get, caller: byShop, sub: user21},
		"bound, write":         {token: post, args: []string{"--body", "hi"}, caller: byShop, sub: user21},
		"for itself":           {token: sign(tb, r.shop, "GET", read, "", shop), caller: byShop, sub: shop},
		"article":              {token: article, args: []string{"--method", "POST", "--url", write, "--body", "hi"}, caller: byAnother, sub: user21},
		"session":              {token: session, caller: byUser, sub: user21},
		"session, any request": {token: session, args: []string{"--method", "DELETE", "--url", write}, caller: byUser, sub: user21},
		"with its header":      {token: "JWT: '" + get + "'", caller: byShop, sub: user21},
		"port and case":        {token: get, args: []string{"--url", "HTTPS://Herald.service:443/notification/1/#top"}, caller: byShop, sub: user21},

		"changed body":      {token: post, args: []string{"--body", "ho"}, check: svcauth.CheckBody, reason: "bdy is not the hash of the body"},
		"no body":           {token: post, check: svcauth.CheckBody, reason: "none was given"},
		"body on a read":    {token: get, args: []string{"--body", "hi"}, check: svcauth.CheckClaims, reason: "a body, and no bdy"},
		"other audience":    {token: get, args: []string{"--audience", census}, check: svcauth.CheckAudience, reason: `aud is "https://herald.service/"`},
		"other method":      {token: get, args: []string{"--method", "HEAD"}, check: svcauth.CheckRequest, reason: "htm"},
		"other URL":         {token: get, args: []string{"--url", read + "?x=1"}, check: svcauth.CheckRequest, reason: "htu"},
		"not allowed":       {token: sign(tb, r.shop, "GET", herald+"user/1/", "", user21), check: svcauth.CheckAllow},
		"other user":        {token: sign(tb, r.shop, "GET", read, "", another), check: svcauth.CheckSubject, reason: another},
		"stranger":          {token: signedToken(tb, svcauthtest.NewIssuer(tb, "https://stranger.service/")), check: svcauth.CheckIssuer, reason: "stranger"},
		"other key":         {token: signedToken(tb, svcauthtest.NewIssuer(tb, shop)), check: svcauth.CheckKey, reason: "kid is"},
		"session of shop":   {token: expired, check: svcauth.CheckType},
		"changed signature": {token: get[:len(get)-4] + "AAAA", check: svcauth.CheckSignature},
		"padded":            {token: get + "=", check: svcauth.CheckEncoding},
		"two parts":         {token: "e30.e30", check: svcauth.CheckEncoding},
		"no JSON":           {token: compact("alg", "{}"), check: svcauth.CheckJSON},
		"htm of no method":  {token: forged(get, `"htm":"G T"`), check: svcauth.CheckSignature},
		"htu of no URL":     {token: forged(get, `"htu":":"`), check: svcauth.CheckSignature},
	}
}

// forged returns a token with the header and the signature of another token, and another claim.
func forged(token, claim string) string {
	parts := strings.Split(token, ".")
	parts[1] = strings.Split(compact("{}", fmt.Sprintf(`{"iss":%q,%s}`, shop, claim)), ".")[1]
	return strings.Join(parts, ".")
}

func TestVerify(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	for name, test := range r.questions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"verify", "--trust", r.trust, "--audience", herald}, test.args...)
			text, asJSON := execute(t, test.token, args...), execute(t, "", append(args, "--json", test.token)...)
			var v verdict
			if err := json.Unmarshal([]byte(asJSON.out), &v); err != nil {
				t.Fatalf("%v: %+v", err, asJSON)
			}
			if test.check == "" {
				test.letIn(t, text, asJSON, v)
			} else {
				test.refused(t, text, asJSON, v)
			}
		})
	}
}

func (q verifyTest) letIn(tb testing.TB, text, asJSON result, v verdict) {
	tb.Helper()
	if text.status != exitOK || text.err != "" || asJSON.status != exitOK || asJSON.err != "" {
		tb.Fatalf("%+v", text)
	}
	for _, want := range []string{"would be let in\n", q.caller.Issuer, q.caller.KeyID, string(q.sub)} {
		if !strings.Contains(text.out, want) {
			tb.Errorf("lacks %q:\n%s", want, text.out)
		}
	}
	if v.Verdict != letIn || v.Caller == nil || *v.Caller != q.caller || v.Subject != q.sub {
		tb.Errorf("%+v %+v", v, v.Caller)
	}
}

func (q verifyTest) refused(tb testing.TB, text, asJSON result, v verdict) {
	tb.Helper()
	text.mustFail(tb, exitFailed, "refused by check "+string(q.check))
	asJSON.mustFail(tb, exitFailed, "refused by check "+string(q.check))
	if text.out != "" || !strings.Contains(text.err, q.reason) {
		tb.Errorf("%+v", text)
	}
	if v.Verdict != refused || v.Check != q.check || v.Status < 401 || v.Reason == "" || v.Caller != nil {
		tb.Errorf("%+v", v)
	}
}

func TestVerifyExpired(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{
		Issuer: census, Key: r.census.Key, Now: func() time.Time { return time.Now().Add(-time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := signer.SessionToken(t.Context(), herald, user21)
	if err != nil {
		t.Fatal(err)
	}
	got := execute(t, token, "verify", "--trust", r.trust, "--audience", herald)
	got.mustFail(t, exitFailed, "refused by check time, with status 401: ")
	got.mustFail(t, exitFailed, "expired")
}

func TestVerifyErrors(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	article := sign(t, r.another, "GET", herald+"notification/1/", "", user21)
	broken := filepath.Join(t.TempDir(), "trust.yaml")
	if err := os.WriteFile(broken, []byte("issuers:\n  - issuer: x\n    keys: y\n  - nothing: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no trust file":      {[]string{"--trust", ""}, exitUsage, "--trust is missing"},
		"no audience":        {[]string{"--audience", ""}, exitUsage, "--audience is missing"},
		"bad audience":       {[]string{"--method", "GET", "--url", herald, "--audience", "herald"}, exitUsage, `--audience: "herald" is not`},
		"missing trust file": {[]string{"--method", "GET", "--url", herald, "--trust", "no-such.yaml"}, exitFailed, "no-such.yaml"},
		"bad trust file":     {[]string{"--method", "GET", "--url", herald, "--trust", broken}, exitFailed, broken + `:4: unknown key "nothing"`},
		"article, nothing":   {nil, exitUsage, "--method and --url are needed"},
		"article, no URL":    {[]string{"--method", "GET"}, exitUsage, "--method and --url are needed"},
		"article, no method": {[]string{"--url", herald}, exitUsage, "--method and --url are needed"},
		"bad method":         {[]string{"--method", "G T"}, exitUsage, "not a method"},
		"bad URL":            {[]string{"--url", "http://herald.service/"}, exitUsage, "not an https URL"},
		"another's URL":      {[]string{"--method", "GET", "--url", census}, exitUsage, "is no URL of " + herald},
		"two bodies":         {[]string{"--body", "x", "--body-file", "y"}, exitUsage, "exclude each other"},
		"missing body":       {[]string{"--body-file", "no-such.json"}, exitFailed, "no-such.json"},
		"all from stdin":     {[]string{"--body-file", "-", "-"}, exitUsage, "both the token and the body"},
		"no token":           {[]string{"-"}, exitFailed, "nothing there"},
		"bad connect-to":     {[]string{"--method", "GET", "--url", herald, "--connect-to", "x"}, exitUsage, "--connect-to"},
		"missing CA":         {[]string{"--method", "GET", "--url", herald, "--ca", "no-such-ca.pem"}, exitFailed, "no-such-ca.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"verify", "--trust", r.trust, "--audience", herald}, test.args...)
			if args[len(args)-1] != "-" {
				args = append(args, article)
			}
			got := execute(t, "", args...)
			got.mustFail(t, test.status, test.want)
			if got.out != "" {
				t.Errorf("stdout %q", got.out)
			}
		})
	}
}

func TestVerifyBodyFromStdin(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	token := sign(t, r.shop, "POST", herald+"notification/", "hi", user21)
	got := execute(t, "hi", "verify", "--trust", r.trust, "--audience", herald, "--body-file", "-", token)
	if got.status != exitOK {
		t.Errorf("%+v", got)
	}
}

// discovering writes a trust file whose issuer publishes its keys.
func discovering(tb testing.TB) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "trust.yaml")
	yaml := "issuers:\n  - issuer: " + shop + "\n    keys: discover\n    allow: [GET /user/]\n    act_for: [" + user21 + "]\n"
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

func TestVerifyDiscovers(t *testing.T) {
	t.Parallel()
	issuer := svcauthtest.NewIssuer(t, shop)
	mux := http.NewServeMux()
	mux.Handle("/.well-known/jwks.json", keys.Handler(issuer.Key))
	ca, connectTo := serve(t, "shop.service", mux)
	args := []string{"--trust", discovering(t), "--ca", ca, "--connect-to", connectTo}
	good, stranger := signedToken(t, issuer), signedToken(t, svcauthtest.NewIssuer(t, shop))

	verify := append([]string{"verify", "--audience", herald}, args...)
	if out := succeed(t, append(verify, good)...); !strings.Contains(out, "would be let in") {
		t.Error(out)
	}
	execute(t, "", append(verify, stranger)...).mustFail(t, exitFailed, "refused by check key, with status 401: ")
	if out := succeed(t, append(append([]string{"inspect"}, args...), good)...); !strings.HasPrefix(out, "VERIFIED: "+shop) {
		t.Error(out)
	}
}

// If the keys cannot be fetched, the only line on stderr has the reason.
func TestVerifyCannotDiscover(t *testing.T) {
	t.Parallel()
	token, trust := signedToken(t, svcauthtest.NewIssuer(t, shop)), discovering(t)
	ca, connectTo := serve(t, "shop.service", http.NotFoundHandler())
	for want, args := range map[string][]string{
		"is not available: fetching: status 404": {"--ca", ca, "--connect-to", connectTo},
		"certificate":                            {"--connect-to", connectTo},
		"connection refused":                     {"--connect-to", "shop.service:443:127.0.0.1:1"},
	} {
		args = append([]string{"verify", "--trust", trust, "--audience", herald, token}, args...)
		got := execute(t, "", args...)
		got.mustFail(t, exitFailed, "refused by check key, with status 503: ")
		got.mustFail(t, exitFailed, want)
	}
}

// A server that does not respond delays the command no longer than its context.
func TestVerifyInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ca, connectTo := serve(t, "shop.service", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	token := signedToken(t, svcauthtest.NewIssuer(t, shop))
	var stdout, stderr bytes.Buffer
	status := run(ctx, []string{
		"verify", "--trust", discovering(t), "--audience", herald, "--ca", ca, "--connect-to", connectTo, token,
	}, nil, &stdout, &stderr)
	result{status, stdout.String(), stderr.String()}.mustFail(t, exitFailed, "no answer yet")
}
