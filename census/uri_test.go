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
