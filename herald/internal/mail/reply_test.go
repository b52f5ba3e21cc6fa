package mail_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/herald/internal/mail"
)

// TestKeywordsInAnyCase uses servers with different spellings of the reply to EHLO.
func TestKeywordsInAnyCase(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]script{
		"lower case":             {"EHLO": "250-mail\r\n250-size 1\r\n250-starttls\r\n250 auth plain login"},
		"mixed case":             {"EHLO": "250-mail\r\n250-StartTLS\r\n250-Size\r\n250 Auth Plain Login"},
		"AUTH=":                  {"EHLO": "250-mail\r\n250-STARTTLS\r\n250 AUTH=PLAIN LOGIN"},
		"auth= after AUTH":       {"EHLO": "250-mail\r\n250-AUTH PLAIN\r\n250-auth=GSSAPI\r\n250 starttls"},
		"AUTH after AUTH=":       {"EHLO": "250-mail\r\n250-AUTH=PLAIN\r\n250-AUTH GSSAPI\r\n250 STARTTLS "},
		"spaces":                 {"EHLO": "250-mail\r\n250-AUTH  GSSAPI   PLAIN  \r\n250 STARTTLS  "},
		"tab":                    {"EHLO": "250-mail\r\n250-AUTH\tGSSAPI\tPLAIN\r\n250 STARTTLS"},
		"bare LF":                {"EHLO": "250-mail\n250-STARTTLS\n250 auth plain"},
		"offered over TLS alone": {"EHLO over TLS": "250-mail\r\n250 auth plain"},
		"withdrawn over TLS":     {"EHLO": offer("AUTH GSSAPI"), "EHLO over TLS": "250-mail\r\n250 auth plain"},
	} {
		s["AUTH PLAIN"] = "235 ok"
		server, sender := startScripted(t, s, mail.Config{Username: "herald", Password: "secret"})
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := server.heard("AUTH"); !slices.Equal(got, []string{"AUTH PLAIN AGhlcmFsZABzZWNyZXQ="}) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestUnusualServers uses servers that follow the standard in unusual ways, or nearly follow it.
func TestUnusualServers(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]script{
		"greeting of several lines": {"greeting": "220-mail.example.com\r\n220-We do not relay.\r\n220 ESMTP"},
		"replies of several lines": {
			"STARTTLS": "220-go\r\n220 ahead", "MAIL": "250-2.1.0\r\n250 ok", "RCPT": "250-2.1.5\r\n250 ok",
			"DATA": "354-go\r\n354 ahead", ".": "250-2.0.0 queued\r\n250-as 4711\r\n250 550 no error",
		},
		"replies without text": {
			"greeting": "220", "EHLO": "250-\r\n250-STARTTLS\r\n250", "EHLO over TLS": "250", "STARTTLS": "220",
			"MAIL": "250", "RCPT": "250", "DATA": "354", ".": "250", "QUIT": "221",
		},
		"last line without text":    {"MAIL": "250-ok\r\n250", ".": "250-queued\r\n250"},
		"odd text":                  {".": "250 \x1b[1m\xff 421 4.2.1 try again \x00"},
		"long text":                 {"EHLO": offer(strings.Repeat("X", 10_000)), ".": "250 " + strings.Repeat("x", 10_000)},
		"many lines":                {"EHLO": offer(strings.Split(strings.Repeat("XLIMITS ", 500), " ")...)},
		"bare LF":                   {"greeting": "220-mail\n220 ESMTP", "MAIL": "250-2.1.0\n250 ok", ".": "250-ok\n250 ok"},
		"251 for the recipient":     {"RCPT": "251 not local, will be forwarded"},
		"252 for the recipient":     {"RCPT": "252 cannot be verified, will be tried"},
		"nothing offered over TLS":  {"EHLO over TLS": "250 mail.example.com"},
		"EHLO refused over TLS":     {"EHLO over TLS": "502 not implemented"},
		"SIZE of 0":                 {"EHLO": offer("SIZE 0")},
		"SIZE smaller than mail":    {"EHLO": offer("SIZE 10")}, // the server accepts the mail nevertheless
		"QUIT is not answered":      {"QUIT": ""},
		"QUIT is answered with 421": {"QUIT": "421 closing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, sender := startScripted(t, s, mail.Config{})
			for range 2 {
				if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
					t.Fatal(err)
				}
			}
			if got := server.heard("EHLO"); len(got) > 2 {
				t.Errorf("the connection was not kept: %q", got)
			}
			begun := time.Now()
			sender.Close()
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("closing took %v", took)
			}
		})
	}
}

// TestUnusualRefusals uses servers that refuse in unusual ways.
func TestUnusualRefusals(t *testing.T) {
	t.Parallel()
	enhanced := offer("enhancedstatuscodes")
	for name, test := range map[string]struct {
		script script
		want   mail.Error // Code, Permanent and InDoubt are compared
		detail string
	}{
		"no text":                   {script{"RCPT": "550"}, refused(550), "550"},
		"several lines":             {script{"RCPT": "550-5.1.1 who?\r\n550-is\r\n550 that"}, refused(550), "550"},
		"enhanced code, lower case": {script{"EHLO": enhanced, "RCPT": "550 5.1.1 who?"}, refused(550), "5.1.1"},
		"too large":                 {script{"EHLO": offer("SIZE 10"), "MAIL": "552 5.3.4 too large"}, refused(552), "552"},
		"too large, at the end":     {script{".": "552"}, refused(552), "552"},
		"421 to RCPT":               {script{"RCPT": "421"}, mail.Error{Code: 421}, "421"},
		"421 to DATA":               {script{"DATA": "421 closing"}, mail.Error{Code: 421}, "421"},
		"421 at the end":            {script{".": "421-closing\r\n421"}, mail.Error{Code: 421}, "421"},
		"421 to EHLO":               {script{"EHLO": "421 closing", "HELO": ""}, mail.Error{Code: 421}, "421"},
		"421 to EHLO over TLS":      {script{"EHLO over TLS": "421 closing", "HELO": ""}, mail.Error{Code: 421}, "421"},
		"454 to STARTTLS":           {script{"STARTTLS": "454 TLS not available"}, mail.Error{Code: 454}, "454"},
		"502 to STARTTLS":           {script{"STARTTLS": "502"}, mail.Error{Code: 502}, "502"},
		"STARTTLS is not offered":   {script{"EHLO": "250-mail\r\n250 STARTTLSX"}, mail.Error{}, "STARTTLS"},
		"HELO only":                 {script{"EHLO": "502 unknown"}, mail.Error{}, "STARTTLS"},
		"neither EHLO nor HELO":     {script{"EHLO": "502", "HELO": "502 unknown"}, mail.Error{Code: 502}, "502"},
		"no SMTP":                   {script{"greeting": "SSH-2.0-OpenSSH_9.2p1"}, mail.Error{}, ""},
		"no code":                   {script{"MAIL": "ok"}, mail.Error{}, ""},
		"endless reply":             {script{"MAIL": strings.Repeat("250-ok\r\n", 100_000) + "250 ok"}, mail.Error{}, ""},
		"endless line":              {script{"MAIL": "250 " + strings.Repeat("x", 1_000_000)}, mail.Error{}, ""},
		"no reply code at the end":  {script{".": "ok"}, mail.Error{InDoubt: true}, ""},
		"half a reply at the end":   {script{".": "250-queued|"}, mail.Error{InDoubt: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, sender := startScripted(t, test.script, mail.Config{DialTimeout: time.Second, SendTimeout: time.Second})
			got := mustFail(t, sender, compose(t, user("en")))
			if got.Code != test.want.Code || got.Permanent != test.want.Permanent || got.InDoubt != test.want.InDoubt {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if !strings.Contains(got.Detail, test.detail) {
				t.Errorf("detail %q does not contain %q", got.Detail, test.detail)
			}
		})
	}
}

func refused(code int) mail.Error { return mail.Error{Code: code, Permanent: true} }

// TestHELOOnly uses a server without EHLO, in plaintext.
func TestHELOOnly(t *testing.T) {
	t.Parallel()
	server, sender := startScripted(t, script{"EHLO": "500"}, mail.Config{TLS: mail.InsecurePlaintext})
	if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
		t.Error(err)
	}
	if got := server.heard("HELO"); !slices.Equal(got, []string{"HELO herald.service"}) {
		t.Errorf("got %q", got)
	}
}
