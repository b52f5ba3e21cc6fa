package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// mapFiles writes the trust files of census.service and herald.service.
func mapFiles(tb testing.TB) (censusFile, heraldFile string) {
	tb.Helper()
	users := []string{census + "user/*"}
	heraldFile = svcauthtest.WriteTrustFile(tb,
		svcauthtest.Trust{Issuer: svcauthtest.NewIssuer(tb, shop), Allow: []string{"POST /notification/", "GET /notification/*"}, ActFor: users},
		svcauthtest.Trust{Issuer: svcauthtest.NewIssuer(tb, census), Sessions: true},
	)
	censusFile = svcauthtest.WriteTrustFile(tb,
		svcauthtest.Trust{Issuer: svcauthtest.NewIssuer(tb, herald), Allow: []string{"GET /user/*"}, ActFor: users, Admin: true},
		svcauthtest.Trust{Issuer: svcauthtest.NewIssuer(tb, shop), Allow: []string{"GET /status/"}},
	)
	return censusFile, heraldFile
}

func TestTrustMapText(t *testing.T) {
	t.Parallel()
	censusFile, heraldFile := mapFiles(t)
	const want = `https://herald.service/ may call https://census.service/
  calls            GET /user/*
  in the name of   itself
                   https://census.service/user/*
                   with the administrative power of each

https://shop.service/ may call https://census.service/
  calls            GET /status/
  in the name of   itself

users of https://census.service/ may call https://herald.service/
  calls            any, with a session token
  in the name of   themselves

https://shop.service/ may call https://herald.service/
  calls            POST /notification/
                   GET /notification/*
  in the name of   itself
                   https://census.service/user/*
`
	if got := succeed(t, "trust", "map", census+"="+censusFile, herald+"="+heraldFile); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTrustMapMermaid(t *testing.T) {
	t.Parallel()
	censusFile, heraldFile := mapFiles(t)
	const want = `flowchart LR
  n1["herald.service"]
  n2["census.service"]
  n3["shop.service"]
  n4(["users of census.service"])
  n1 -->|"GET /user/*<br>for itself, census.service/user/*<br>with administrative power"| n2
  n3 -->|"GET /status/<br>for itself"| n2
  n4 -->|"any, with a session token"| n1
  n3 -->|"POST /notification/<br>GET /notification/*<br>for itself, census.service/user/*"| n1
`
	if got := succeed(t, "trust", "map", "--format", "mermaid", census+"="+censusFile, herald+"="+heraldFile); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// A file without URL is shown under its name, which may have any characters.
func TestTrustMapFileName(t *testing.T) {
	t.Parallel()
	_, heraldFile := mapFiles(t)
	data := read(t, heraldFile)
	file := filepath.Join(filepath.Dir(heraldFile), "a=\"#1\"\n<b>&.yaml") //nolint:gocritic // the backslashes are escapes
	if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{
		"text": `a=\"#1\"\n<b>&.yaml"`, "mermaid": `a=\#34;#35;1\#34;\n#60;b#62;#38;.yaml#34;"]`,
	} {
		if got := succeed(t, "trust", "map", "--format", format, file); !strings.Contains(got, want) {
			t.Errorf("%s lacks %s:\n%s", format, want, got)
		}
	}
}

func TestTrustMapFaults(t *testing.T) {
	t.Parallel()
	censusFile, _ := mapFiles(t)
	broken, _ := writeTrust(t, "issuers:\n  - issuer: https://shop.service/\n    keys: shop.pub.pem\n    allow: [get /]\n")
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no file":        {nil, exitUsage, "no FILE is given"},
		"unknown format": {[]string{"--format", "dot", censusFile}, exitUsage, `--format "dot": must be text or mermaid`},
		"no https URL":   {[]string{"http://census.service/=" + censusFile}, exitUsage, `"http://census.service/" is not an https URL`},
		"no name":        {[]string{"https://Census.service/=" + censusFile}, exitUsage, `"https://Census.service/" is not in its canonical form`},
		"URL alone":      {[]string{census + "="}, exitUsage, "no FILE follows"},
		"service twice":  {[]string{census + "=" + censusFile, census + "=" + broken}, exitUsage, census + " is given twice"},
		"file twice":     {[]string{censusFile, censusFile}, exitUsage, censusFile + " is given twice"},
		"missing file":   {[]string{census + "=no-such.yaml"}, exitFailed, "no-such.yaml"},
		"bad file":       {[]string{census + "=" + censusFile, herald + "=" + broken}, exitFailed, broken + `:4: allow: "get /" is not a method`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := execute(t, "", append([]string{"trust", "map"}, test.args...)...)
			got.mustFail(t, test.status, test.want)
			if got.out != "" {
				t.Errorf("stdout %q", got.out)
			}
		})
	}
}
