package mail_test

import (
	"errors"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/mail"
)

var created = time.Date(2026, time.March, 1, 12, 30, 15, 0, time.UTC)

func notification() *herald.Notification {
	request := herald.Request{Creator: "https://census.service/user/21/", UserID: 42, Type: herald.WelcomeMessage}
	return herald.New(uuid.Must(uuid.NewV7()), request, created)
}

func compose(t *testing.T, to herald.Recipient) *mail.Message {
	t.Helper()
	m, err := mail.Compose(notification(), to)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func user(locale string) herald.Recipient {
	return herald.Recipient{Name: "Census User", Email: "census.user@example.com", Locale: locale}
}

func TestComposeByLocale(t *testing.T) {
	t.Parallel()
	for locale, want := range map[string]string{
		"en": "Welcome", "en-GB": "Welcome", "de": "Herzlich willkommen", "de-AT": "Herzlich willkommen",
		"fr": "Welcome", "": "Welcome", "not a locale": "Welcome",
	} {
		m := compose(t, user(locale))
		if m.Subject != want {
			t.Errorf("locale %q: subject %q, want %q", locale, m.Subject, want)
		}
	}
}

var (
	head = regexp.MustCompile(`(?s)^.*<body>`)
	tag  = regexp.MustCompile(`<[^>]*>`)
)

// words returns the visible words of HTML.
func words(markup string) []string {
	return strings.Fields(html.UnescapeString(tag.ReplaceAllString(head.ReplaceAllString(markup, ""), "")))
}

// TestTextAndHTMLSayTheSame compares the text part with the HTML part in each language.
func TestTextAndHTMLSayTheSame(t *testing.T) {
	t.Parallel()
	for locale, want := range map[string]struct{ greeting, language string }{
		"en": {"Hello Jürgen \"J\" <b>&amp; Co</b>,", `<html lang="en">`},
		"de": {"Guten Tag Jürgen \"J\" <b>&amp; Co</b>,", `<html lang="de">`},
	} {
		to := user(locale)
		to.Name = `Jürgen "J" <b>&amp; Co</b>`
		m := compose(t, to)
		if greeting, _, _ := strings.Cut(m.Text, "\n"); greeting != want.greeting {
			t.Errorf("%s: text starts with %q", locale, greeting)
		}
		if !strings.Contains(m.HTML, want.language) {
			t.Errorf("%s: HTML is not in the language: %s", locale, m.HTML)
		}
		if text := strings.Fields(m.Text); len(text) < 25 || !slices.Equal(text, words(m.HTML)) {
			t.Errorf("%s: text is %q, HTML %q", locale, text, words(m.HTML))
		}
		if strings.Contains(m.HTML, "<b>") {
			t.Errorf("%s: the name is not escaped: %s", locale, m.HTML)
		}
	}
}

func TestComposeTakesIDAndDateFromTheNotification(t *testing.T) {
	t.Parallel()
	n := notification()
	m, err := mail.Compose(n, user("en"))
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != n.ID.String() || !m.Date.Equal(created) || m.To.Name != "Census User" ||
		m.To.Address != "census.user@example.com" {
		t.Errorf("composed %+v", m)
	}
}

// TestComposeWritesDomainsInASCII uses addresses whose domains are sent in another form.
func TestComposeWritesDomainsInASCII(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"census.user@bücher.example": "census.user@xn--bcher-kva.example",
		"Census.User@Example.com":    "Census.User@example.com",
		"census.user@[192.0.2.1]":    "census.user@[192.0.2.1]",
		"census.user@[2001:db8::1]":  "census.user@[IPv6:2001:db8::1]",
	} {
		to := user("en")
		to.Email = address
		if got := compose(t, to).To.Address; got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestComposeRefusesInjection(t *testing.T) {
	t.Parallel()
	const name, address = "Census User", "census.user@example.com"
	for what, to := range map[string]herald.Recipient{
		"CRLF in name":           {Name: "Eve\r\nBcc: all@example.com", Email: address},
		"CR in name":             {Name: "Eve\rBcc: all@example.com", Email: address},
		"LF in name":             {Name: "Eve\nBcc: all@example.com", Email: address},
		"LF at the end of name":  {Name: "Eve\n", Email: address},
		"LF before name":         {Name: "\nEve", Email: address},
		"NUL in name":            {Name: "Eve\x00", Email: address},
		"tab in name":            {Name: "Eve\tAdam", Email: address},
		"NEL in name":            {Name: "Eve\u0085Bcc:", Email: address},
		"line separator in name": {Name: "Eve\u2028Bcc:", Email: address},
		"paragraph separator":    {Name: "Eve\u2029Bcc:", Email: address},
		"encoded word in name":   {Name: "=?utf-8?q?Eve=0D=0ABcc:_all@example.com?=", Email: address},
		"encoded word, base64":   {Name: "=?UTF-8?B?RXZlDQpCY2M6?=", Email: address},
		"no UTF-8 in name":       {Name: "Eve\xff", Email: address},
		"no name":                {Name: "", Email: address},
		"name of spaces":         {Name: " \u00a0 ", Email: address},
		"endless name":           {Name: strings.Repeat("x", 257), Email: address},

		"no address":              {Name: name, Email: ""},
		"CRLF in address":         {Name: name, Email: "eve@example.com\r\nBcc: all@example.com"},
		"LF in address":           {Name: name, Email: "eve@example.com\n"},
		"CR in local part":        {Name: name, Email: "eve\r@example.com"},
		"folded address":          {Name: name, Email: "eve@\r\n example.com"},
		"two addresses":           {Name: name, Email: "eve@example.com, all@example.com"},
		"address with a name":     {Name: name, Email: "Eve <eve@example.com>"},
		"address in brackets":     {Name: name, Email: "<eve@example.com>"},
		"address with a comment":  {Name: name, Email: "eve@example.com (Bcc: all@example.com)"},
		"quoted local part":       {Name: name, Email: `"eve adam"@example.com`},
		"quoted CRLF":             {Name: name, Email: "\"eve\r\n\"@example.com"},
		"encoded word in address": {Name: name, Email: "=?utf-8?q?eve=0D=0A?=@example.com"},
		"space in address":        {Name: name, Email: "eve@example.com SIZE=1"},
		"command in address":      {Name: name, Email: "eve@example.com> NOTIFY=NEVER"},
		"no domain":               {Name: name, Email: "eve"},
		"not ASCII":               {Name: name, Email: "évé@example.com"},
		"endless address":         {Name: name, Email: strings.Repeat("x", 250) + "@example.com"},
		"group":                   {Name: name, Email: "all: eve@example.com;"},
		"domain of no IDN":        {Name: name, Email: "eve@\u202eexample.com"},
		"domain too long":         {Name: name, Email: "eve@" + strings.Repeat("ü", 63) + ".example"},
	} {
		if m, err := mail.Compose(notification(), to); !errors.Is(err, mail.ErrRecipient) {
			t.Errorf("%s: composed %+v, %v", what, m, err)
		} else if strings.Contains(err.Error(), "@") {
			t.Errorf("%s: the error contains the address: %v", what, err)
		}
	}
}
