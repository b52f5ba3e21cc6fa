package census_test

import (
	"errors"
	"strings"
	"testing"

	"example.com/micromachine/census"
)

func TestNormalizeEmail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 60)
	tooLong := "user@" + strings.Repeat("a.", 125) + "com"
	for in, want := range map[string]string{
		"":                                         "",
		"census.user@example.com":                  "census.user@example.com",
		"Census.User@EXAMPLE.Com":                  "Census.User@example.com",
		"o'brien+news@sub.example.org":             "o'brien+news@sub.example.org",
		"a@xn--bcher-kva.example":                  "a@xn--bcher-kva.example",
		long + "@example.com":                      long + "@example.com",
		"user@1password.example":                   "user@1password.example",
		"-starts.with.a.dash@localhost":            "", // no dot in the domain
		long + "12345@example.com":                 "", // a local part of 65
		tooLong:                                    "",
		"user":                                     "",
		"@example.com":                             "",
		"user@":                                    "",
		"user@@example.com":                        "",
		"us..er@example.com":                       "",
		".user@example.com":                        "",
		"user@example..com":                        "",
		"user@-example.com":                        "",
		"user@example.com.":                        "",
		"user@example_1.com":                       "",
		"user@[192.0.2.1]":                         "",
		"user@192.0.2.1":                           "",
		" user@example.com":                        "",
		"user@example.com ":                        "",
		"user name@example.com":                    "",
		"User <user@example.com>":                  "",
		"<user@example.com>":                       "",
		"user@example.com (comment)":               "",
		`"user"@example.com`:                       "",
		`"us er"@example.com`:                      "",
		"a@example.com,b@example.com":              "",
		"a@example.com;b@example.com":              "",
		"group:a@example.com;":                     "",
		"user@example.com\r\nBcc: spy@example.com": "",
		"user\r\n@example.com":                     "",
		"user@example.com\n":                       "",
		"user@exam\tple.com":                       "",
		"user\x00@example.com":                     "",
		"user@example.com\x00":                     "",
		"=?utf-8?q?user?=@example.com":             "",
		"üser@example.com":                         "",
		"user@exämple.com":                         "",
		"user\xff@example.com":                     "",
		"user@example.com%0aBcc:spy@example.com":   "",
	} {
		got, err := census.NormalizeEmail(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("NormalizeEmail(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestUserNormalize(t *testing.T) {
	t.Parallel()
	user := census.User{ID: 42, Name: "  Census User ", Email: "census.user@EXAMPLE.com", Admin: true}
	got, err := user.Normalize()
	want := census.User{ID: 42, Name: "Census User", Email: "census.user@example.com", Locale: "en", Admin: true}
	if got != want || err != nil {
		t.Errorf("Normalize() = %+v, %v, want %+v", got, err, want)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"Zoë":                           true,
		"李小龍":                           true,
		"O'Brien, \"Jim\" <jim>":        true,
		strings.Repeat("ü", 200):        true,
		strings.Repeat("ü", 201):        false,
		"":                              false,
		" \t ":                          false,
		"Eve\r\nBcc: spy@example.com":   false,
		"Eve\n":                         false,
		"Eve\x00":                       false,
		"Eve\x1b[2J":                    false,
		"Eve\u0085":                     false,
		"Eve\u2028Mallory":              false,
		"Eve \u202emoc.elpmaxe":         false,
		"=?utf-8?q?Eve=0d=0aBcc:_spy?=": false,
		"Eve\xff":                       false,
	} {
		_, err := census.Update{Name: &name}.Normalize()
		if (err == nil) != ok {
			t.Errorf("name %q: %v, want accepted: %t", name, err, ok)
		}
	}
}

func TestLocales(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"de":                       "de",
		"de-at":                    "de-AT",
		"zh-hant-tw":               "zh-Hant-TW",
		"und":                      "",
		"und-DE":                   "",
		"x-mine":                   "",
		"sr_Latn":                  "sr-Latn",
		"":                         "",
		"English":                  "",
		"../../etc/passwd":         "",
		"en\r\nX: y":               "",
		strings.Repeat("en-x-", 9): "",
	} {
		got, err := census.Update{Locale: &in}.Normalize()
		if want == "" {
			if err == nil {
				t.Errorf("locale %q was accepted as %q", in, *got.Locale)
			}
			continue
		}
		if err != nil || *got.Locale != want {
			t.Errorf("locale %q: %v, want %q", in, err, want)
		}
	}
}

// The error lists all invalid fields, and does not contain their values, because it is logged.
func TestInvalidError(t *testing.T) {
	t.Parallel()
	_, err := census.User{Name: "", Email: "secret address", Locale: "no locale"}.Normalize()
	var invalid *census.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Fields) != 3 {
		t.Fatalf("Normalize() = %v, want three fields", err)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error repeats the value: %v", err)
	}
}
