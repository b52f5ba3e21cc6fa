package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// compact returns a token with that header and those claims, and an invalid signature.
func compact(header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(claims)) + ".c2ln"
}

const boundHeader = `{"alg":"EdDSA","kid":"k1","typ":"svcauth+jwt"}`

func signedToken(tb testing.TB, issuer *svcauthtest.Issuer) string {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, herald+"user/", http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	issuer.Sign(tb, req, herald, user21)
	return req.Header.Get(svcauth.Header)
}

func TestInspectKinds(t *testing.T) {
	t.Parallel()
	session, err := svcauthtest.NewIssuer(t, "https://census.service/").Signer().SessionToken(t.Context(), herald, user21)
	if err != nil {
		t.Fatal(err)
	}
	for kind, token := range map[string]string{
		"bound":   signedToken(t, svcauthtest.NewIssuer(t, shop)),
		"article": signedToken(t, svcauthtest.NewArticleIssuer(t, shop)),
		"session": session,
		"unknown": compact(`{"alg":"EdDSA","typ":"at+jwt"}`, `{"exp":1}`),
	} {
		text := succeed(t, "inspect", token)
		if !strings.HasPrefix(text, "NOTHING WAS VERIFIED.") || !strings.Contains(text, "\nkind: "+kind) {
			t.Errorf("%s: %s", kind, text)
		}
		if kind != "unknown" && strings.Contains(text, "remarks") {
			t.Errorf("remarks on a good %s token: %s", kind, text)
		}
		var report tokenReport
		if err := json.Unmarshal([]byte(succeed(t, "inspect", "--json", token)), &report); err != nil {
			t.Fatal(err)
		}
		if report.Verified || report.Kind != kind || report.Times["exp"].Words == "" {
			t.Errorf("%+v", report)
		}
	}
}

// TestInspectText compares the whole text, at a fixed time.
func TestInspectText(t *testing.T) {
	t.Parallel()
	token := compact(boundHeader,
		`{"iss":"https://shop.service/","aud":["a","b"],"iat":1700000000,"exp":1700000060,"name":"\u001b[2J","n":null,"empty":""}`)
	read, err := readToken(token, time.Unix(1700000018, 0))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := read.write(&text, nil); err != nil {
		t.Fatal(err)
	}
	want := `NOTHING WAS VERIFIED. Anybody can write what follows.

kind: bound, a service's token for one request
hash: ` + svcauth.TokenHash(token) + `, in logs

header
  alg   EdDSA
  kid   k1
  typ   svcauth+jwt

claims
  iss     https://shop.service/
  aud     ["a","b"]
  iat     2023-11-14 22:13:20 UTC (18 s ago)
  exp     2023-11-14 22:14:20 UTC (in 42 s)
  name    "\x1b[2J"
  n       null
  empty   ""

remarks
  claims: "aud" is not a string
`
	if text.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &text, want)
	}
}

func TestInspectPastes(t *testing.T) {
	t.Parallel()
	token := compact(boundHeader, `{"exp":1}`)
	third := len(token) / 3
	for name, paste := range map[string]string{
		"plain":           token,
		"header":          "JWT: " + token,
		"lower case":      "jwt:" + token + "\n",
		"broken":          token[:third] + "\n" + token[third:2*third] + "\r\n    " + token[2*third:] + "\n",
		"quoted":          `"` + token + `"`,
		"in a curl line":  "curl --header 'JWT: " + token + "' --data-binary '{}' https://herald.service/",
		"in a request":    "GET / HTTP/1.1\r\nJWT: " + token[:third] + "\r\n " + token[third:] + "\r\nHost: herald.service\r\n\r\n",
		"curl's trace":    "> JWT: " + token + "\r\n> Accept: */*",
		"our curl's line": "curl --header 'JWT: " + token + "' --header 'Accept: text/html' https://herald.service/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := succeed(t, "inspect", "--json", token)
			for _, r := range []result{
				execute(t, "", "inspect", "--json", paste),
				execute(t, paste, "inspect", "--json"),
				execute(t, paste, "inspect", "--json", "-"),
				execute(t, "", append([]string{"inspect", "--json", "--"}, strings.Fields(paste)...)...),
			} {
				if r.status != exitOK || r.out == "" || !sameButForTime(r.out, want) {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// sameButForTime compares two reports without their times.
func sameButForTime(a, b string) bool {
	var reports [2]tokenReport
	for i, text := range []string{a, b} {
		if json.Unmarshal([]byte(text), &reports[i]) != nil {
			return false
		}
	}
	return bytes.Equal(reports[0].Header, reports[1].Header) && bytes.Equal(reports[0].Claims, reports[1].Claims)
}

func TestInspectRemarks(t *testing.T) {
	t.Parallel()
	now := time.Unix(1700000000, 0)
	const good = `{"iat":1699999999,"exp":1700000060}`
	for name, test := range map[string]struct {
		token string
		want  string // empty: no remark
	}{
		"good":               {compact(boundHeader, good), ""},
		"expired":            {compact(boundHeader, `{"exp":1699999990}`), "expired 10s ago"},
		"within the leeway":  {compact(boundHeader, `{"iat":1700000010,"nbf":1700000010,"exp":1699999991}`), ""},
		"not valid yet":      {compact(boundHeader, `{"nbf":1700000011,"exp":1700000060}`), "not valid for another 11s"},
		"issued tomorrow":    {compact(boundHeader, `{"iat":1700086400,"exp":1700086460}`), "one of the clocks is wrong"},
		"no exp":             {compact(boundHeader, `{"iat":1700000000}`), "valid for ever"},
		"exp as text":        {compact(boundHeader, `{"exp":"soon"}`), `"exp" is not a whole number`},
		"exp as float":       {compact(boundHeader, `{"exp":1.7e9}`), `"exp" is not a whole number`},
		"exp below zero":     {compact(boundHeader, `{"exp":-1}`), `"exp" is not a whole number`},
		"exp beyond ages":    {compact(boundHeader, `{"exp":9223372036854775807}`), `"exp" is not a whole number`},
		"duplicate claim":    {compact(boundHeader, `{"exp":1700000060,"sub":"a","\u0073ub":"b"}`), `claims: duplicate name "sub"`},
		"unknown member":     {compact(`{"alg":"EdDSA","kid":"k","typ":"svcauth+jwt","jku":"x"}`, good), `member "jku" is not allowed`},
		"alg none":           {compact(`{"alg":"none","typ":"JWT"}`, good), "unknown alg"},
		"no alg":             {compact(`{"typ":"JWT"}`, good), "unknown alg"},
		"foreign typ":        {compact(`{"alg":"EdDSA","typ":"at+jwt"}`, good), `unknown typ "at+jwt"`},
		"typ is no text":     {compact(`{"alg":"EdDSA","typ":7}`, good), `"typ" is not a string`},
		"no signature":       {strings.TrimSuffix(compact(boundHeader, good), "c2ln"), "no signature"},
		"padded":             {compact(boundHeader, good) + "=", "not canonical base64url"},
		"spare bits":         {strings.TrimSuffix(compact(boundHeader, good), "c2ln") + "c2k_c3", "not canonical base64url"},
		"other alphabet":     {strings.TrimSuffix(compact(boundHeader, good), "c2ln") + "+/+/", "not canonical base64url"},
		"invalid UTF-8":      {compact(boundHeader, "{\"exp\":1700000060,\"a\":\"\xff\"}"), "invalid UTF-8"},
		"larger than 8 KiB":  {compact(boundHeader, `{"exp":1700000060,"a":"`+strings.Repeat("x", 8<<10)+`"}`), "at most 8192 are read"},
		"name that steers":   {compact("{\"alg\":\"EdDSA\",\"\\u009b\":1}", good), `member "\\u009b" is not allowed`},
		"article, good":      {compact(`{"alg":"RS256"}`, good), ""},
		"session, good":      {compact(`{"alg":"ES256","typ":"session+jwt"}`, good), ""},
		"deep but well made": {compact(boundHeader, `{"exp":1700000060,"a":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)+`}`), "nested too deep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read, err := readToken(test.token, now)
			if err != nil {
				t.Fatal(err)
			}
			found := slices.ContainsFunc(read.remarks, func(r string) bool { return strings.Contains(r, test.want) })
			if test.want == "" && len(read.remarks) > 0 || test.want != "" && !found {
				t.Errorf("remarks %q, want %q", read.remarks, test.want)
			}
		})
	}
}

func TestInspectDuplicateTimes(t *testing.T) {
	t.Parallel()
	text := succeed(t, "inspect", compact(boundHeader, `{"exp":1,"exp":86401}`))
	if !strings.Contains(text, "1970-01-01 00:00:01 UTC") || !strings.Contains(text, "1970-01-02 00:00:01 UTC") {
		t.Error(text)
	}
}

func TestInspectRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"nothing":         {"", "nothing there"},
		"blank":           {" \n\t", "nothing there"},
		"words":           {"what is this?", "a compact JWS has 3"},
		"prefix alone":    {"JWT: ", "nothing there"},
		"two parts":       {"e30.e30", "a compact JWS has 3"},
		"five parts":      {"e30.e30.e30.e30.e30", "a compact JWS has 3"},
		"no base64":       {"e30.e.e30", "part 2 is not canonical base64url"},
		"header no JSON":  {compact("alg", "{}"), "header: not a JSON object"},
		"claims no JSON":  {compact(boundHeader, "[]"), "claims: not a JSON object"},
		"unfinished":      {compact(boundHeader, `{"a":1`), "claims: "},
		"empty":           {compact(boundHeader, ""), "claims: not a JSON object"},
		"trailing comma":  {compact(boundHeader, `{"a":1,}`), "claims: "},
		"name no string":  {compact(boundHeader, `{1:1}`), "claims: "},
		"trailing data":   {compact(boundHeader, `{"a":1}{}`), "data after the JSON object"},
		"too deep":        {compact(boundHeader, `{"a":`+strings.Repeat("[", 100_000)+`}`), "claims: "},
		"far too long":    {strings.Repeat("e", 1<<20+1), "more than 1048576 bytes"},
		"bytes of no use": {"\x00\xff\xfe.\x80", "nothing there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := execute(t, test.text, "inspect")
			r.mustFail(t, exitFailed, test.want)
			if r.out != "" {
				t.Errorf("stdout %q", r.out)
			}
		})
	}
}

func TestInWords(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int64]string{
		0: "now", 1: "in 1 s", -1: "1 s ago", 42: "in 42 s", 60: "in 1 min", 61: "in 1 min 1 s", -3600: "1 h ago", 3605: "in 1 h",
		-3665: "1 h 1 min ago", 86400: "in 1 day", 90000: "in 1 day 1 h", 86460: "in 1 day", -14 * 86400: "14 days ago",
		365 * 86400: "in 1 year", -(10*365 + 3) * 86400: "10 years 3 days ago",
	} {
		if got := inWords(seconds); got != want {
			t.Errorf("%d: %q, want %q", seconds, got, want)
		}
	}
}

// FuzzInspect looks for input that panics, or writes control characters to the terminal.
func FuzzInspect(f *testing.F) {
	f.Add(compact(boundHeader, `{"exp":1}`))
	f.Add("JWT: '" + compact(boundHeader, `{"exp":1e9,"a":{"b":[null,"\u009b"]},"a":2}`))
	f.Add("..")
	f.Add("e30=.+/+/.")
	f.Add(compact(`{"alg":"EdDSA"}`, `{"iss":"https://another.service/","htm":"\u009b","htu":"https://a\u009b","sub":"\u009b"}`))
	trust := newReceiver(f).trust
	f.Fuzz(func(t *testing.T, paste string) {
		for _, args := range [][]string{{"inspect"}, {"inspect", "--trust", trust, "--audience", herald}, {"inspect", "--json"}} {
			r := execute(t, paste, args...)
			if r.status == exitOK == (r.out == "") {
				t.Errorf("%+v", r)
			}
			if r.status == exitFailed && strings.Count(r.err, "\n") != 1 {
				t.Errorf("stderr %q", r.err)
			}
			steers := func(c rune) bool { return c != '\n' && unicode.IsControl(c) }
			if !utf8.ValidString(r.out) || !slices.Contains(args, "--json") && strings.ContainsFunc(r.out, steers) {
				t.Errorf("stdout %q", r.out)
			}
		}
	})
}
