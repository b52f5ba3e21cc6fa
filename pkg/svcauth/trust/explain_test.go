package trust_test

import (
	"testing"

	"example.com/micromachine/pkg/svcauth/trust"
)

// A decision names the line of the trust file that it follows from.
func TestExplain(t *testing.T) {
	t.Parallel()
	policy, err := trust.Parse([]byte(`issuers:
  - issuer: https://herald.service/
    keys: discover
    allow:
      - POST /session/
      - GET /user/*
    act_for: [https://census.service/user/*]
  - {issuer: https://login.service/, keys: discover, sessions: true}
`), "")
	if err != nil {
		t.Fatal(err)
	}
	const herald, user = "https://herald.service/", "https://census.service/user/21/"
	for _, tt := range []struct {
		issuer, subject, method, path string
		want                          trust.Decision
	}{
		{herald, "", "GET", "/user/42/", trust.Decision{
			Allowed: true, Line: 6, Text: "allow: GET /user/*",
			Reason: "line 6 allows GET /user/*, and every issuer may act for itself",
		}},
		{herald, herald, "HEAD", "/user/42", trust.Decision{
			Allowed: true, Line: 6, Text: "allow: GET /user/*",
			Reason: "line 6 allows GET /user/*, and every issuer may act for itself",
		}},
		{herald, user, "POST", "/session/", trust.Decision{
			Allowed: true, Line: 7, Text: "act_for: https://census.service/user/*",
			Reason: "line 5 allows POST /session/, and line 7 allows to act for https://census.service/user/*",
		}},
		{herald, "https://shop.service/user/21/", "POST", "/session/", trust.Decision{
			Line: 2, Text: "issuer: " + herald,
			Reason: "line 5 allows POST /session/, but no line of act_for matches https://shop.service/user/21/",
		}},
		{herald, user, "DELETE", "/user/42/", trust.Decision{
			Line: 2, Text: "issuer: " + herald, Reason: "no line of allow matches DELETE /user/42/",
		}},
		{"https://login.service/", "", "GET", "/", trust.Decision{
			Line: 8, Text: "issuer: https://login.service/", Reason: "no line of allow matches GET /",
		}},
		{"https://evil.service/", "", "GET", "/", trust.Decision{Reason: "the trust file does not name https://evil.service/"}},
	} {
		if got := policy.Explain(tt.issuer, tt.subject, tt.method, tt.path); got != tt.want {
			t.Errorf("%s for %q, %s %s:\n got %+v\nwant %+v", tt.issuer, tt.subject, tt.method, tt.path, got, tt.want)
		}
	}
}
