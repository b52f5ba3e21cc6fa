package mail_test

import (
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/pkg/smtptest"
)

// TestAddr connects to a server with each form of its address. The certificate is valid for
// 127.0.0.1 and ::1.
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

// TestDomain checks EHLO and the Message-ID for each form of Herald's own name.
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

// TestFrom checks the envelope and the header for each form of the sender.
func TestFrom(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("x", 64) + "@localhost"
	for from, want := range map[string]struct{ envelope, header string }{
		"herald@example.com":                  {"herald@example.com", "<herald@example.com>"},
		"Herald <Herald@Example.COM>":         {"Herald@example.com", `"Herald" <Herald@example.com>`},
		"Herald <herald@bücher.example>":      {"herald@xn--bcher-kva.example", `"Herald" <herald@xn--bcher-kva.example>`},
		"herald@BÜCHER.example":               {"herald@xn--bcher-kva.example", "<herald@xn--bcher-kva.example>"},
		"herald@xn--bcher-kva.example":        {"herald@xn--bcher-kva.example", "<herald@xn--bcher-kva.example>"},
		"Hérald <herald@example.com>":         {"herald@example.com", "=?utf-8?q?H=C3=A9rald?= <herald@example.com>"},
		"=?utf-8?q?H=C3=A9?= <h@example.com>": {"h@example.com", "=?utf-8?q?H=C3=A9?= <h@example.com>"},
		`"Herald, Inc." <herald@example.com>`: {"herald@example.com", `"Herald, Inc." <herald@example.com>`},
		`"the herald"@example.com`:            {`"the herald"@example.com`, `<"the herald"@example.com>`},
		"herald+no-reply@localhost":           {"herald+no-reply@localhost", "<herald+no-reply@localhost>"},
		"herald@[192.0.2.1]":                  {"herald@[192.0.2.1]", "<herald@[192.0.2.1]>"},
		longest:                               {longest, "<" + longest + ">"},
	} {
		server, sender := startScripted(t, script{"EHLO": offer(allExtensions...)}, mail.Config{From: from})
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

// TestLongFromIsFolded uses names that are longer than a line.
func TestLongFromIsFolded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		strings.Repeat("Ünïcödé ", 32), strings.Repeat("plain ", 40),
		strings.Repeat("語", 250),
	} {
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
		want := netmail.Address{Name: strings.TrimSpace(name), Address: "herald@example.com"}
		if err != nil || len(from) != 1 || *from[0] != want {
			t.Errorf("%q: From is %v, %v", name, from, err)
		}
		for line := range strings.SplitSeq(data, "\r\n") {
			if len(line) > 78 {
				t.Errorf("%q: line of %d bytes: %q", name, len(line), line)
			}
		}
	}
}
