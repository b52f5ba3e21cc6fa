package mail_test

import (
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/pkg/smtptest"
)

// everything is what a server of today may offer.
var everything = []string{
	"PIPELINING", "SIZE 10240000", "ETRN", "AUTH SCRAM-SHA-256 PLAIN LOGIN", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8",
	"CHUNKING", "BINARYMIME", "REQUIRETLS", "DELIVERBY 240", "MT-PRIORITY", "FUTURERELEASE 1 2", "LIMITS RCPTMAX=1",
}

// TestExtensionsThatNoMailNeedsAreNotAskedFor sends a mail whose header and body are not ASCII before they are encoded.
func TestExtensionsThatNoMailNeedsAreNotAskedFor(t *testing.T) {
	t.Parallel()
	server, sender := startScripted(t, script{"EHLO": offer(everything...)}, mail.Config{From: "Hérald <herald@example.com>"})
	to := user("de")
	to.Name = "Jürgen Müller"
	if err := send(t.Context(), sender, compose(t, to)); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{"MAIL": "MAIL FROM:<herald@example.com>", "RCPT": "RCPT TO:<" + to.Email + ">"} {
		if got := server.heard(command); !slices.Equal(got, []string{want}) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, line := range server.heard("") {
		if strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
			t.Errorf("line of 8 bits: %q", line)
		}
	}
}

// TestSMTPUTF8IsAskedForByTheMailThatNeedsIt sends mails of both kinds over one connection.
func TestSMTPUTF8IsAskedForByTheMailThatNeedsIt(t *testing.T) {
	t.Parallel()
	ascii, beyond := compose(t, user("en")), compose(t, user("en"))
	beyond.To.Address = "jürgen@example.com"
	const plain = "MAIL FROM:<herald@example.com>"

	server, sender := startScripted(t, script{"EHLO": offer("8BitMime", "smtpUTF8")}, mail.Config{})
	for _, m := range []*mail.Message{ascii, beyond, ascii} {
		if err := send(t.Context(), sender, m); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.heard("MAIL"); !slices.Equal(got, []string{plain, plain + " SMTPUTF8", plain}) {
		t.Errorf("got %q", got)
	}
	if got := server.heard("EHLO"); len(got) != 2 { // before and after STARTTLS
		t.Errorf("connected again: %q", got)
	}

	server, sender = startScripted(t, script{"EHLO": offer("8BITMIME")}, mail.Config{})
	if got := mustFail(t, sender, beyond); !got.Permanent || !strings.Contains(got.Detail, "SMTPUTF8") {
		t.Errorf("not offered: %+v", got)
	}
	if got := server.heard("MAIL"); len(got) != 0 {
		t.Errorf("not offered: %q", got)
	}
}

// TestReplacedConnectionAsksForNoMore has a server that drops each connection at its second mail.
func TestReplacedConnectionAsksForNoMore(t *testing.T) {
	t.Parallel()
	server, sender := startScripted(t, script{"EHLO": offer(everything...), ".": "250 ok|"}, mail.Config{})
	for range 2 {
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Fatal(err)
		}
	}
	const plain = "MAIL FROM:<herald@example.com>"
	if got := server.heard("MAIL"); !slices.Equal(got, []string{plain, plain, plain}) {
		t.Errorf("got %q", got)
	}
}

// TestAddr connects to a server by each form of its address. The certificate is for 127.0.0.1 and ::1.
func TestAddr(t *testing.T) {
	t.Parallel()
	serverTLS, roots := certificate(t)
	for listen, hosts := range map[string][]string{
		"127.0.0.1:0": {"127.0.0.1", "[::ffff:127.0.0.1]"},
		"[::1]:0":     {"[::1]", "[0:0::0:1]", "[::1%lo]"},
	} {
		for _, mode := range []mail.TLSMode{mail.STARTTLS, mail.Implicit} {
			server, err := smtptest.Start(smtptest.Config{
				Addr: listen, TLS: serverTLS, Implicit: mode == mail.Implicit, Username: "herald", Password: "secret",
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Close() })
			_, port, err := net.SplitHostPort(server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			for _, host := range hosts {
				sender := newSender(t, mail.Config{
					Addr: host + ":" + port, TLS: mode, Roots: roots, Username: "herald", Password: "secret",
				})
				if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
					t.Errorf("%s, %s: %v", host, mode, err)
				}
			}
		}
	}
}

// TestDomain has each form of Herald's own name in EHLO and in the Message-ID.
func TestDomain(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]string{
		"herald.service":     "herald.service",
		"herald.service.":    "herald.service",
		"herald_1.service":   "herald_1.service",
		"localhost":          "localhost",
		"192.0.2.1":          "[192.0.2.1]",
		"::1":                "[IPv6:::1]",
		"2001:DB8:0::1":      "[IPv6:2001:db8::1]",
		"fe80::1%eth0":       "[IPv6:fe80::1]",
		"::ffff:192.0.2.1":   "[192.0.2.1]",
		"[2001:db8::1]":      "[IPv6:2001:db8::1]",
		"[IPv6:2001:db8::1]": "[IPv6:2001:db8::1]",
		"bücher.example":     "xn--bcher-kva.example",
		"BÜCHER.example":     "xn--bcher-kva.example",
		"例え.テスト":             "xn--r8jz45g.xn--zckzah",
	} {
		server, sender := startScripted(t, nil, mail.Config{Domain: domain})
		m := compose(t, user("en"))
		if err := send(t.Context(), sender, m); err != nil {
			t.Errorf("%s: %v", domain, err)
			continue
		}
		if got := server.heard("EHLO"); !slices.Equal(got, []string{"EHLO " + want, "EHLO " + want}) {
			t.Errorf("%s: %q", domain, got)
		}
		if got := server.header(t).Get("Message-Id"); got != "<"+m.ID+"@"+want+">" {
			t.Errorf("%s: %q", domain, got)
		}
	}
}

// TestKeywordsInAnyCase has servers write the reply to EHLO as they please.
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

// TestFrom looks for the sender on the wire.
func TestFrom(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]struct{ envelope, header string }{
		"herald@example.com":                   {"herald@example.com", "<herald@example.com>"},
		"Herald <Herald@Example.COM>":          {"Herald@example.com", `"Herald" <Herald@example.com>`},
		"Herald <herald@bücher.example>":       {"herald@xn--bcher-kva.example", `"Herald" <herald@xn--bcher-kva.example>`},
		"herald@BÜCHER.example":                {"herald@xn--bcher-kva.example", "<herald@xn--bcher-kva.example>"},
		"herald@xn--bcher-kva.example":         {"herald@xn--bcher-kva.example", "<herald@xn--bcher-kva.example>"},
		"Hérald <herald@example.com>":          {"herald@example.com", "=?utf-8?q?H=C3=A9rald?= <herald@example.com>"},
		"=?utf-8?q?H=C3=A9?= <h@example.com>":  {"h@example.com", "=?utf-8?q?H=C3=A9?= <h@example.com>"},
		`"Herald, Inc." <herald@example.com>`:  {"herald@example.com", `"Herald, Inc." <herald@example.com>`},
		`"the herald"@example.com`:             {`"the herald"@example.com`, `<"the herald"@example.com>`},
		"herald+no-reply@localhost":            {"herald+no-reply@localhost", "<herald+no-reply@localhost>"},
		"herald@[192.0.2.1]":                   {"herald@[192.0.2.1]", "<herald@[192.0.2.1]>"},
		strings.Repeat("x", 64) + "@localhost": {strings.Repeat("x", 64) + "@localhost", "<" + strings.Repeat("x", 64) + "@localhost>"},
	} {
		server, sender := startScripted(t, script{"EHLO": offer(everything...)}, mail.Config{From: from})
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		if got := server.heard("MAIL"); !slices.Equal(got, []string{"MAIL FROM:<" + want.envelope + ">"}) {
			t.Errorf("%s: %q", from, got)
		}
		if got := server.header(t).Get("From"); got != want.header {
			t.Errorf("%s: From is %q", from, got)
		}
	}
}

// TestLongFromIsFolded has a name that fits on no line.
func TestLongFromIsFolded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{strings.Repeat("Ünïcödé ", 32), strings.Repeat("plain ", 40), strings.Repeat("語", 250)} {
		server, sender := start(t, smtptest.Config{}, mail.Config{From: name + " <herald@example.com>"})
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Fatal(err)
		}
		data := string(server.Mails()[0].Data)
		message, err := netmail.ReadMessage(strings.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		from, err := message.Header.AddressList("From")
		if err != nil || len(from) != 1 || from[0].Name != strings.TrimSpace(name) || from[0].Address != "herald@example.com" {
			t.Errorf("%q: From is %v, %v", name, from, err)
		}
		for line := range strings.SplitSeq(data, "\r\n") {
			if len(line) > 78 {
				t.Errorf("%q: line of %d bytes: %q", name, len(line), line)
			}
		}
	}
}

// TestAuthNamesTheMechanism has servers that offer more than they accept.
func TestAuthNamesTheMechanism(t *testing.T) {
	t.Parallel()
	const login = "334 VXNlcm5hbWU6|334 UGFzc3dvcmQ6|235 ok"
	for name, test := range map[string]struct {
		auth   mail.Mechanism
		script script
		used   string
	}{
		"best":                 {"", script{"EHLO": offer("AUTH LOGIN PLAIN"), "AUTH PLAIN": "235 ok"}, "PLAIN"},
		"auto":                 {"auto", script{"EHLO": offer("AUTH LOGIN PLAIN"), "AUTH PLAIN": "235 ok"}, "PLAIN"},
		"the only one":         {"auto", script{"EHLO": offer("AUTH GSSAPI LOGIN"), "AUTH LOGIN": login}, "LOGIN"},
		"not the best":         {"plain", script{"EHLO": offer("AUTH SCRAM-SHA-256 PLAIN"), "AUTH PLAIN": "235"}, "PLAIN"},
		"login, others first":  {"login", script{"EHLO": offer("auth plain login"), "AUTH LOGIN": login}, "LOGIN"},
		"in capitals":          {"LOGIN", script{"EHLO": offer("AUTH PLAIN LOGIN"), "AUTH LOGIN": login}, "LOGIN"},
		"CRAM-MD5":             {"cram-md5", script{"EHLO": offer("AUTH PLAIN CRAM-MD5"), "AUTH CRAM-MD5": "334 PDE+|235 ok"}, "CRAM-MD5"},
		"CRAM-MD5 alone":       {"auto", script{"EHLO": offer("AUTH CRAM-MD5"), "AUTH CRAM-MD5": "334 PDE+|235 ok"}, "CRAM-MD5"},
		"a prefix of another":  {"auto", script{"EHLO": offer("AUTH PLAIN-CLIENTTOKEN LOGIN"), "AUTH LOGIN": login}, "LOGIN"},
		"challenge of no text": {"auto", script{"EHLO": offer("AUTH LOGIN"), "AUTH LOGIN": "334|334|235"}, "LOGIN"},
	} {
		server, sender := startScripted(t, test.script, mail.Config{Username: "herald", Password: "secret", Auth: test.auth})
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := server.heard("AUTH"); len(got) != 1 || !strings.HasPrefix(got[0]+" ", "AUTH "+test.used+" ") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestRefusedMechanismIsNamed has a login fail: the error says by which mechanism, and never the password.
func TestRefusedMechanismIsNamed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		auth         mail.Mechanism
		offer, reply string
		code         int
		detail       string
	}{
		"not accepted":     {"auto", offer("AUTH SCRAM-SHA-256 PLAIN"), "504 no such mechanism", 504, "SCRAM-SHA-256"},
		"refused":          {"plain", offer("AUTH SCRAM-SHA-256 PLAIN"), "535 5.7.8 herald@example.com: secret is wrong", 535, "PLAIN"},
		"refused, dropped": {"plain", offer("AUTH PLAIN"), "", 0, ""},
		"not offered":      {"plain", offer("AUTH SCRAM-SHA-256-PLUS LOGIN"), "235 ok", 0, "PLAIN"},
		"only with PLUS":   {"scram-sha-256", offer("AUTH SCRAM-SHA-256-PLUS"), "235 ok", 0, "SCRAM-SHA-256"},
		"none is known":    {"auto", offer("AUTH GSSAPI XOAUTH2"), "235 ok", 0, "login"},
		"no login":         {"auto", offer("SIZE"), "235 ok", 0, "login"},
	} {
		_, sender := startScripted(t, script{"EHLO": test.offer, "AUTH": test.reply},
			mail.Config{Username: "herald", Password: "secret", Auth: test.auth})
		got := mustFail(t, sender, compose(t, user("en")))
		if got.Code != test.code || got.Permanent || got.InDoubt || !strings.Contains(got.Detail, test.detail) {
			t.Errorf("%s: %+v", name, got)
		}
		if strings.Contains(got.Error(), "secret") {
			t.Errorf("%s: the password is told: %v", name, got)
		}
	}
}

// TestPeculiarServers sends to servers that are within the standard's letter, or close to it.
func TestPeculiarServers(t *testing.T) {
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
		"SIZE smaller than mail":    {"EHLO": offer("SIZE 10")}, // which it then takes all the same
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

// TestPeculiarRefusals has servers refuse in their own way.
func TestPeculiarRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script script
		want   mail.Error
		detail string
	}{
		"no text":                   {script{"RCPT": "550"}, mail.Error{Code: 550, Permanent: true}, "550"},
		"several lines":             {script{"RCPT": "550-5.1.1 who?\r\n550-is\r\n550 that"}, mail.Error{Code: 550, Permanent: true}, "550"},
		"enhanced code, lower case": {script{"EHLO": offer("enhancedstatuscodes"), "RCPT": "550 5.1.1 who?"}, mail.Error{Code: 550, Permanent: true}, "5.1.1"},
		"too large":                 {script{"EHLO": offer("SIZE 10"), "MAIL": "552 5.3.4 too large"}, mail.Error{Code: 552, Permanent: true}, "552"},
		"too large, at the end":     {script{".": "552"}, mail.Error{Code: 552, Permanent: true}, "552"},
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
				t.Errorf("detail %q does not tell of %q", got.Detail, test.detail)
			}
		})
	}
}

// TestHELOOnly sends to a server that knows no EHLO, in plaintext.
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
