package census_test

import (
	"testing"

	"example.com/micromachine/census"
)

const base census.BaseURL = "https://census.service/"

func TestUserID(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]int64{
		"https://census.service/user/21/":                         21,
		"https://census.service/user/999999999999999/":            census.MaxID,
		"https://census.service/user/1000000000000000/":           0,
		"https://census.service/user/99999999999999999999999999/": 0,
		"https://census.service/user/21":                          0,
		"https://census.service/user/021/":                        0,
		"https://census.service/user/0/":                          0,
		"https://census.service/user/-21/":                        0,
		"https://census.service/user/+21/":                        0,
		"https://census.service/user/2_1/":                        0,
		"https://census.service/user/0x15/":                       0,
		"https://census.service/user/%32%31/":                     0,
		"https://census.service/user/２１/":                         0,
		"https://census.service/user/21 /":                        0,
		"https://census.service/user/21//":                        0,
		"https://census.service/user//21/":                        0,
		"https://census.service/user/21/../22/":                   0,
		"https://census.service/user/21/viewer/22/":               0,
		"https://census.service/user/21/?id=22":                   0,
		"https://census.service/user/21/#22":                      0,
		"https://census.service/user/":                            0,
		"https://census.service/user//":                           0,
		"https://census.service/":                                 0,
		"https://census.service.evil/user/21/":                    0,
		"https://census.service:443/user/21/":                     0,
		"https://CENSUS.service/user/21/":                         0,
		"https://evil@census.service/user/21/":                    0,
		"http://census.service/user/21/":                          0,
		"https://herald.service/user/21/":                         0,
		"/user/21/":                                               0,
		"21":                                                      0,
		"":                                                        0,
	} {
		id, ok := base.UserID(uri)
		if id != want || ok != (want != 0) {
			t.Errorf("UserID(%q) = %d, %t, want %d", uri, id, ok, want)
		}
		if ok && base.UserURI(id) != uri {
			t.Errorf("UserURI(%d) = %q, want %q", id, base.UserURI(id), uri)
		}
	}
}

func TestParseBaseURL(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"https://census.service/":            true,
		"https://census.service:8443/":       true,
		"https://[2001:db8::1]/":             true,
		"https://census.service":             false,
		"https://census.service/v1/":         false,
		"http://census.service/":             false,
		"https://Census.service/":            false,
		"https://user:pw@census.service/":    false,
		"https://census.service:/":           false,
		"https:///":                          false,
		"https://:8443/":                     false,
		"https://census.service/?a=b":        false,
		"https://census.service/#a":          false,
		"https://census.service\n/":          false,
		"census.service":                     false,
		"":                                   false,
		"https://census.service/?":           false,
		"https://census.service/%2e%2e/":     false,
		"https://census.service//":           false,
		"https://census.service/\\evil.test": false,
	} {
		var b census.BaseURL
		if err := b.UnmarshalText([]byte(url)); (err == nil) != ok {
			t.Errorf("base URL %q: %v, want accepted: %t", url, err, ok)
		}
	}
}
