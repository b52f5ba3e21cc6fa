package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

func TestInspectTrust(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	const read, write = herald + "notification/1/", herald + "notification/"
	session, err := r.census.Signer().SessionToken(t.Context(), herald, user21)
	if err != nil {
		t.Fatal(err)
	}
	get := sign(t, r.shop, "GET", read, "", user21)
	post := sign(t, r.shop, "POST", write, "hi", user21)
	postArticle := sign(t, r.another, "POST", write, "hi", user21)
	getArticle := sign(t, r.another, "GET", read, "", user21)
	const untilBody = "every check up to the body passes; the body is not known here"
	const exceptRequest = "every check passes that can be made without the request"
	for name, test := range map[string]struct {
		token     string
		args      []string
		headline  string
		verdict   string
		wants     []string
		unchecked []string
		last      svcauth.Check // that was passed
	}{
		"good": {
			token: get, headline: "VERIFIED: " + shop + " wrote what follows.", verdict: letIn, last: svcauth.CheckSubject,
			wants: []string{"verdict   would be let in", "caller    " + shop, "assumed to be the receiver", "request   GET " + read},
		},
		"good, with body": {
			token: post, args: []string{"--body", "hi"}, headline: "VERIFIED: " + shop, verdict: letIn, last: svcauth.CheckBody,
			wants: []string{"not checked   whether the token was used before"}, unchecked: []string{"whether the token was used before"},
		},
		"body unknown": {
			token: post, headline: "VERIFIED IN PART: " + shop, verdict: undecided, last: svcauth.CheckSubject,
			wants: []string{untilBody}, unchecked: []string{"the body", "whether the token was used before"},
		},
		"changed body": {
			token: post, args: []string{"--body", ""}, headline: "REFUSED by check body. The signature was verified: " + shop,
			verdict: refused, last: svcauth.CheckSubject, wants: []string{"verdict   refused by check body, with status 401: bdy is not"},
		},
		"session": {
			token: session, headline: "VERIFIED: " + census, verdict: letIn, last: svcauth.CheckSubject,
			wants: []string{"for the user's own session", "sessions   its own users may call"},
		},
		"article, nothing known": {
			token: postArticle, headline: "VERIFIED IN PART: " + another, verdict: undecided, last: svcauth.CheckSubject,
			wants:     []string{exceptRequest, "good for      POST /notification/\n                GET /notification/*\n"},
			unchecked: []string{"the request", "the body", "whether the token was used before"},
		},
		"article, body known": {
			token: postArticle, args: []string{"--body", "hi"}, headline: "VERIFIED IN PART: " + another, verdict: undecided, last: svcauth.CheckBody,
			wants: []string{exceptRequest}, unchecked: []string{"the request", "whether the token was used before"},
		},
		"article, other body": {
			token: postArticle, args: []string{"--body", "ho"}, headline: "REFUSED by check body.", verdict: refused, last: svcauth.CheckSubject,
		},
		"article, to read": {
			token: getArticle, headline: "VERIFIED IN PART: " + another, verdict: undecided, last: svcauth.CheckSubject,
			wants: []string{exceptRequest, "good for      GET /notification/*\n  passed"}, unchecked: []string{"the request"},
		},
		"article, request known": {
			token: getArticle, args: []string{"--method", "GET", "--url", read}, headline: "VERIFIED: " + another, verdict: letIn, last: svcauth.CheckSubject,
		},
		"article, other user": {
			token: sign(t, r.another, "GET", read, "", shop), headline: "REFUSED by check subject.", verdict: refused, last: svcauth.CheckClaims,
		},
		"other audience": {
			token: get, args: []string{"--audience", census}, headline: "REFUSED by check audience.", verdict: refused, last: svcauth.CheckSignature,
			wants: []string{", for " + census + "\n", "what it says of " + shop},
		},
		"other key": {
			token: signedToken(t, svcauthtest.NewIssuer(t, shop)), headline: "REFUSED by check key, AND NOT VERIFIED. Anybody", verdict: refused,
			last: svcauth.CheckType, wants: []string{r.shop.Key.ID() + ", for EdDSA"},
		},
		"stranger": {
			token: signedToken(t, svcauthtest.NewIssuer(t, "https://stranger.service/")), headline: "REFUSED by check issuer, AND NOT VERIFIED.",
			verdict: refused, last: svcauth.CheckJSON,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"inspect", "--trust", r.trust}, test.args...)
			text := succeed(t, append(args, test.token)...)
			if !strings.HasPrefix(text, test.headline) || strings.Contains(text, "NOTHING WAS VERIFIED") {
				t.Errorf("not under %q:\n%s", test.headline, text)
			}
			for _, want := range append(test.wants, "\nheader\n", "\nclaims\n", r.trust+", for https://") {
				if !strings.Contains(text, want) {
					t.Errorf("lacks %q:\n%s", want, text)
				}
			}
			var report tokenReport
			if err := json.Unmarshal([]byte(succeed(t, append(args, "--json", test.token)...)), &report); err != nil {
				t.Fatal(err)
			}
			v := report.Trust
			if v.Verdict != test.verdict || report.Verified != (test.verdict == letIn) || v.AudienceAssumed == slices.Contains(test.args, "--audience") {
				t.Errorf("%+v", v)
			}
			if !slices.Equal(v.Unchecked, test.unchecked) || v.Passed[len(v.Passed)-1] != test.last {
				t.Errorf("passed %q, not checked %q", v.Passed, v.Unchecked)
			}
			if claimsMore := slices.Contains(v.Passed, svcauth.CheckRequest) && report.Kind != kindBound; claimsMore {
				t.Errorf("passed %q: a check that nobody makes", v.Passed)
			}
		})
	}
}

// An article token that can only read is refused if its issuer may only write.
func TestInspectTrustOfNoUse(t *testing.T) {
	t.Parallel()
	issuer := svcauthtest.NewArticleIssuer(t, another)
	trust := svcauthtest.WriteTrustFile(t, svcauthtest.Trust{Issuer: issuer, Allow: []string{"POST /notification/"}})
	text := succeed(t, "inspect", "--trust", trust, sign(t, issuer, "GET", herald, "", another))
	if !strings.Contains(text, "refused by check allow, with status 403: the token has no bdy and so can only read") {
		t.Error(text)
	}
}

func TestInspectTrustErrors(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	good := sign(t, r.shop, "GET", herald+"notification/1/", "", user21)
	article := sign(t, r.another, "GET", herald+"notification/1/", "", user21)
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"flags without trust":    {[]string{"--audience", herald, good}, exitUsage, "without --trust"},
		"json and one more":      {[]string{"--json", "--ca", "x", good}, exitUsage, "without --trust"},
		"no aud":                 {[]string{"--trust", r.trust, compact(boundHeader, `{"aud":["a"]}`)}, exitUsage, "--audience is needed"},
		"aud of no service":      {[]string{"--trust", r.trust, compact(boundHeader, `{"aud":"a"}`)}, exitUsage, "--audience is needed"},
		"bad audience":           {[]string{"--trust", r.trust, "--audience", "a", good}, exitUsage, `--audience: "a" is not`},
		"half a request":         {[]string{"--trust", r.trust, "--method", "GET", article}, exitUsage, "--method and --url are needed"},
		"bad method":             {[]string{"--trust", r.trust, "--method", "G T", good}, exitUsage, "not a method"},
		"missing trust file":     {[]string{"--trust", "no-such.yaml", good}, exitFailed, "no-such.yaml"},
		"not a token, trust":     {[]string{"--trust", r.trust, "e30.e30"}, exitFailed, "not a token"},
		"standard input for two": {[]string{"--trust", r.trust, "--body-file", "-"}, exitUsage, "both the token and the body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := execute(t, "", append([]string{"inspect"}, test.args...)...)
			got.mustFail(t, test.status, test.want)
			if got.out != "" {
				t.Errorf("stdout %q", got.out)
			}
		})
	}
}
