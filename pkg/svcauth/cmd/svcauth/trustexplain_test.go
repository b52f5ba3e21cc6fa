package main

import (
	"encoding/json"
	"testing"
)

const explainYAML = `issuers:
  - issuer: https://shop.service/
    keys: shop.pub.pem
    allow:
      - POST /user/
      - GET /user/*
    act_for: [https://census.service/user/*]
`

func TestTrustExplainAllowed(t *testing.T) {
	t.Parallel()
	file, _ := writeTrust(t, explainYAML)
	for subject, want := range map[string]string{
		"": "allowed\n  decided by   " + file + ":6: allow: GET /user/*\n" +
			"  because      line 6 allows GET /user/*, and every issuer may act for itself\n",
		user21: "allowed\n  decided by   " + file + ":7: act_for: https://census.service/user/*\n" +
			"  because      line 6 allows GET /user/*, and line 7 allows to act for https://census.service/user/*\n",
	} {
		got := succeed(t, "trust", "explain", "--trust", file, "--issuer", shop, "--subject", subject, "GET", "/user/42/")
		if got != want {
			t.Errorf("for %q, got:\n%s\nwant:\n%s", subject, got, want)
		}
	}
}

func TestTrustExplainRefused(t *testing.T) {
	t.Parallel()
	file, _ := writeTrust(t, explainYAML)
	for _, test := range []struct{ issuer, subject, method, path, want string }{
		{shop, user21, "DELETE", "/user/42/", file + ":2: issuer: " + shop + ": no line of allow matches DELETE /user/42/"},
		{shop, user21, "get", "/user/42/", "no line of allow matches get /user/42/"},
		{shop, user21, "GET", "/user/../42/", "no line of allow matches"},
		{shop, herald, "POST", "/user/", file + ":2: issuer: " + shop + ": line 5 allows POST /user/, but no line of act_for matches " + herald},
		{another, "", "GET", "/user/42/", file + ": the trust file does not name " + another},
	} {
		args := []string{"trust", "explain", "--trust", file, "--issuer", test.issuer, "--subject", test.subject, test.method, test.path}
		got := execute(t, "", args...)
		got.mustFail(t, exitFailed, "svcauth trust explain: refused: ")
		got.mustFail(t, exitFailed, test.want)
		if got.out != "" {
			t.Errorf("stdout %q", got.out)
		}
	}
}

func TestTrustExplainJSON(t *testing.T) {
	t.Parallel()
	file, _ := writeTrust(t, explainYAML)
	args := []string{"trust", "explain", "--json", "--trust", file, "--issuer", shop}
	for _, test := range []struct {
		method string
		status int
		want   explanation
	}{
		{"POST", exitOK, explanation{
			true, file, 5, "allow: POST /user/", "line 5 allows POST /user/, and every issuer may act for itself",
		}},
		{"PUT", exitFailed, explanation{false, file, 2, "issuer: " + shop, "no line of allow matches PUT /user/"}},
	} {
		r := execute(t, "", append(args, test.method, "/user/")...)
		var got explanation
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.status != test.status || got != test.want {
			t.Errorf("%v, %+v; want %+v", err, r, test.want)
		}
	}
}

func TestTrustExplainFaults(t *testing.T) {
	t.Parallel()
	file, _ := writeTrust(t, explainYAML)
	broken, _ := writeTrust(t, "issuers:\n  - issuer: https://shop.service/\n    keys: no-such.pem\n    allow: [GET /]\n")
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no trust file":  {[]string{"--trust", "", "GET", "/"}, exitUsage, "--trust is missing"},
		"no issuer":      {[]string{"--issuer", "", "GET", "/"}, exitUsage, "--issuer is missing"},
		"bad issuer":     {[]string{"--issuer", "shop", "GET", "/"}, exitUsage, `--issuer: "shop" is not`},
		"no path":        {[]string{"GET"}, exitUsage, "exactly METHOD and PATH are wanted, not 1 argument"},
		"one too many":   {[]string{"GET", "/", "x"}, exitUsage, "not 3 arguments"},
		"bad method":     {[]string{"G T", "/"}, exitUsage, `"G T" is not a method`},
		"a URL":          {[]string{"GET", census}, exitUsage, "does not start with a slash"},
		"a query":        {[]string{"GET", "/user/?x"}, exitUsage, "has a query"},
		"missing file":   {[]string{"--trust", "no-such.yaml", "GET", "/"}, exitFailed, "no-such.yaml"},
		"bad trust file": {[]string{"--trust", broken, "GET", "/"}, exitFailed, broken + ":3: keys: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"trust", "explain", "--trust", file, "--issuer", shop}, test.args...)
			got := execute(t, "", args...)
			got.mustFail(t, test.status, test.want)
			if got.out != "" {
				t.Errorf("stdout %q", got.out)
			}
		})
	}
}
