package censusclient_test

import (
	"net/http"
	"testing"

	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// censusService returns a client of https://census.service/.
func censusService(t *testing.T) *censusclient.Client {
	t.Helper()
	client, err := censusclient.New(censusclient.Config{
		URL: "https://census.service/", HTTPClient: http.DefaultClient,
		Signer: svcauthtest.NewIssuer(t, "https://herald.service/").Signer(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestUserID(t *testing.T) {
	t.Parallel()
	census := censusService(t)
	for uri, want := range map[string]int64{
		"https://census.service/user/42/":                  42,
		"https://census.service/user/1/":                   1,
		"https://census.service/user/9223372036854775807/": 9223372036854775807,
	} {
		if id, ok := census.UserID(uri); !ok || id != want || census.UserURI(id) != uri {
			t.Errorf("%s: %d, %t", uri, id, ok)
		}
	}
}

func TestUserIDRefuses(t *testing.T) {
	t.Parallel()
	census := censusService(t)
	for name, uri := range map[string]string{
		"empty":                "",
		"no ID":                "https://census.service/user/",
		"no slash at the end":  "https://census.service/user/42",
		"two slashes":          "https://census.service/user/42//",
		"other scheme":         "http://census.service/user/42/",
		"upper-case scheme":    "HTTPS://census.service/user/42/",
		"no scheme":            "//census.service/user/42/",
		"relative":             "/user/42/",
		"other host":           "https://elsewhere.service/user/42/",
		"longer host":          "https://census.service.evil/user/42/",
		"subdomain":            "https://evil.census.service/user/42/",
		"upper-case host":      "https://CENSUS.service/user/42/",
		"dot after the host":   "https://census.service./user/42/",
		"other port":           "https://census.service:8443/user/42/",
		"default port":         "https://census.service:443/user/42/",
		"credentials":          "https://census.service@evil.example/user/42/",
		"user name":            "https://me@census.service/user/42/",
		"backslash":            `https://census.service\@evil.example/user/42/`,
		"query":                "https://census.service/user/42/?a=b",
		"empty query":          "https://census.service/user/42/?",
		"query inside":         "https://census.service/user/42?/",
		"fragment":             "https://census.service/user/42/#a",
		"empty fragment":       "https://census.service/user/42/#",
		"dot segments":         "https://census.service/user/../user/42/",
		"dot segments after":   "https://census.service/user/42/../43/",
		"one dot":              "https://census.service/./user/42/",
		"encoded slash":        "https://census.service/user%2F42/",
		"encoded slash at end": "https://census.service/user/42%2F",
		"encoded digit":        "https://census.service/user/%34%32/",
		"other path":           "https://census.service/users/42/",
		"deeper":               "https://census.service/user/42/viewer/",
		"leading zero":         "https://census.service/user/042/",
		"zero":                 "https://census.service/user/0/",
		"plus":                 "https://census.service/user/+42/",
		"minus":                "https://census.service/user/-42/",
		"hexadecimal":          "https://census.service/user/0x2a/",
		"underscore":           "https://census.service/user/4_2/",
		"other digits":         "https://census.service/user/４２/",
		"a name":               "https://census.service/user/me/",
		"too large":            "https://census.service/user/9223372036854775808/",
		"space before":         " https://census.service/user/42/",
		"space after":          "https://census.service/user/42/ ",
		"newline":              "https://census.service/user/42/\n",
		"NUL":                  "https://census.service/user/42\x00/",
	} {
		if id, ok := census.UserID(uri); ok {
			t.Errorf("%s: %q is taken for user %d", name, uri, id)
		}
	}
}
