package main

import (
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/service"
)

// A mail server's address, a sender and a mechanism that cannot be used are each reported in one
// line, which names the variable and holds no password.
func TestMailSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "postgres://127.0.0.1:1/herald")
	for variable, values := range map[string][]string{
		"HERALD_SMTP_ADDR": {
			"mail", "mail:", ":25", "mail:smtp", "mail:0", "mail:65536", "mail:+25", "mail:-25", "mail:2 5",
			"::1:25", "[::1]", "[::1]:", "[::1%]:25", "[::g]:25", "hunter2@mail:25", "herald:hunter2@mail:25",
			"smtp://herald:hunter2@mail:25", "smtp://mail:25", " mail:25", "mail:25 ", "ma il:25", "mail\n:25",
			"mail,mail2:25", "ma..il:25", ".:25", "mail/:25", "\u202email:25", strings.Repeat("x", 64) + ":25",
		},
		"HERALD_MAIL_FROM": {
			"Herald", "herald", "@example.com", "herald@", "hérald@example.com", "Herald <hérald@example.com>",
			"herald@exa mple.com", "herald@exam..ple.com", "herald@-example.com", "herald@example-.com",
			"herald@\u202eexample.com", "herald@xn--\u00fc.example", "herald@xn--a.example", "herald@bücher,example",
			"herald@[hunter2]", "herald@[192.0.2.256]", "Herald\r\nBcc: <all@example.com>",
			"Her\x00ald <herald@example.com>", "=?utf-8?q?Herald=0D=0ABcc:_all?= <herald@example.com>",
			"\"he\trald\"@example.com", "herald@example.com, other@example.com",
			strings.Repeat("x", 65) + "@example.com", "herald@" + strings.Repeat("x", 64) + ".example",
			"herald@" + strings.Repeat("example.", 32) + "com", strings.Repeat("ü", 257) + " <herald@example.com>",
			"\xff <herald@example.com>",
		},
		"HERALD_SMTP_AUTH": {"magic", "plain,login", "hunter2", " plain"},
		"HERALD_SMTP_TLS":  {"none", "insecure-plaintext"},
		"HERALD_URL":       {"https://\u202eherald/", "https://-herald/"},
	} {
		for _, value := range values {
			got := execute(t, append(slices.Clip(w.service.Environ), variable+"="+value), "serve")
			got.MustFail(t, 2, variable+": ")
			if got.Err == nil || strings.ContainsAny(got.Err.Error(), "\r\n") || strings.Contains(got.Err.Error(), "hunter2") {
				t.Errorf("%s=%q: %q", variable, value, got.Err)
			}
		}
	}
}

func TestMailSettingsThatCanBeUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "postgres://127.0.0.1:1/herald")
	for variable, values := range map[string][]string{
		"HERALD_SMTP_ADDR": {
			"mail:25", "mail.example.com.:587", "mail_1:25", "192.0.2.1:25", "[192.0.2.1]:25", "[::1]:25",
			"[2001:DB8::1]:65535", "[fe80::1%eth0]:25", "MAIL.example.com:25", "mail.bücher.example:25",
			"xn--bcher-kva.example:25",
		},
		"HERALD_MAIL_FROM": {
			"herald@example.com", "Herald <herald@example.com>", "Hérald <herald@bücher.example>",
			"herald@localhost", "herald@[192.0.2.1]", "\"the herald\"@example.com",
			"\"Herald, Inc.\" <herald@example.com>", "herald+x@r3---a.example",
		},
		"HERALD_SMTP_AUTH": {"auto", "scram-sha-256", "plain", "login", "scram-sha-1", "cram-md5", "ntlm", "PLAIN", "Login"},
		"HERALD_SMTP_TLS":  {"starttls", "implicit"},
		"HERALD_URL":       {"https://192.0.2.1/", "https://[::1]:8443/", "https://bücher.example/"},
	} {
		for _, value := range values {
			environ := append(slices.Clip(w.service.Environ), variable+"="+value)
			p := new(program)
			rt, err := service.ReadSettings(p.definition(), environ)
			if err == nil {
				_, err = p.newSender(rt.Settings)
			}
			if err != nil {
				t.Errorf("%s=%q: %v", variable, value, err)
			}
		}
	}
}
