package mail_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/pkg/smtptest"
)

// certificate returns the TLS configuration of a server at 127.0.0.1 and the roots that trust it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	roots := x509.NewCertPool()
	roots.AddCert(https.Certificate())
	return &tls.Config{Certificates: https.TLS.Certificates, MinVersion: tls.VersionTLS12}, roots
}

// start starts a mail server with STARTTLS and returns it with a sender for it.
func start(t *testing.T, server smtptest.Config, sender mail.Config) (*smtptest.Server, *mail.Sender) {
	t.Helper()
	serverTLS, roots := certificate(t)
	server.TLS = serverTLS
	s, err := smtptest.Start(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	sender.Addr, sender.Roots = s.Addr(), roots
	return s, newSender(t, sender)
}

func newSender(t *testing.T, config mail.Config) *mail.Sender {
	t.Helper()
	config.From = cmp.Or(config.From, "Herald <herald@example.com>")
	config.Domain = cmp.Or(config.Domain, "herald.service")
	sender, err := mail.NewSender(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	return sender
}

func send(ctx context.Context, sender *mail.Sender, m *mail.Message) error {
	conn, err := sender.Connect(ctx, "example.com")
	if err != nil {
		return err
	}
	defer conn.Release()
	return conn.Send(ctx, m)
}

// mustFail sends a message, which must fail, and returns the error.
func mustFail(t *testing.T, sender *mail.Sender, m *mail.Message) *mail.Error {
	t.Helper()
	err := send(t.Context(), sender, m)
	var failure *mail.Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v, want a *mail.Error", err)
	}
	if strings.Contains(failure.Error(), m.To.Address) || strings.Contains(failure.Detail, "@") {
		t.Errorf("the error contains the address: %v", failure)
	}
	return failure
}

func TestSendKeepsItsConnection(t *testing.T) {
	t.Parallel()
	server, sender := start(t, smtptest.Config{}, mail.Config{})
	if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
		t.Fatal(err)
	}
	server.Fail(smtptest.Fault{At: smtptest.AtConnect}) // refuses further connections
	for range 5 {
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(server.Mails()); n != 6 {
		t.Errorf("%d mails", n)
	}
}

func TestSendReplacesAConnectionThatHasEnded(t *testing.T) {
	t.Parallel()
	server, sender := start(t, smtptest.Config{}, mail.Config{})
	server.Fail(smtptest.Fault{At: smtptest.AtEnd, Times: 1})
	for range 2 {
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Fatal(err)
		}
	}
	server.Fail(smtptest.Fault{At: smtptest.AtMail, Code: 421, Times: 1}) // the reply that announces an idle timeout
	if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
		t.Fatal(err)
	}
	if n := len(server.Mails()); n != 3 {
		t.Errorf("%d mails", n)
	}
}

func TestSendDropsConnectionsThatIdle(t *testing.T) {
	t.Parallel()
	server, sender := start(t, smtptest.Config{}, mail.Config{IdleTimeout: time.Nanosecond})
	server.Fail(smtptest.Fault{At: smtptest.AtMail, Code: 451, Times: 1})
	mustFail(t, sender, compose(t, user("en"))) // a failed connection is not kept either
	for range 2 {
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMailTakenBeforeTheConnectionEndsIsSent(t *testing.T) {
	t.Parallel()
	server, sender := start(t, smtptest.Config{}, mail.Config{})
	server.Fail(smtptest.Fault{At: smtptest.AtEnd})
	for range 3 { // QUIT or the next MAIL fails each time
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Errorf("not sent: %v", err)
		}
	}
	if n := len(server.Mails()); n != 3 {
		t.Errorf("%d mails", n)
	}
}

func TestRepliesAreClassified(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault smtptest.Fault
		want  mail.Error
	}{
		"5xx to MAIL": {
			smtptest.Fault{At: smtptest.AtMail, Code: 550},
			mail.Error{Code: 550, Permanent: true},
		},
		"4xx to MAIL": {smtptest.Fault{At: smtptest.AtMail, Code: 451}, mail.Error{Code: 451}},
		"530 to MAIL": {smtptest.Fault{At: smtptest.AtMail, Code: 530}, mail.Error{Code: 530}},
		"5xx to RCPT": {
			smtptest.Fault{At: smtptest.AtRcpt, Code: 550},
			mail.Error{Code: 550, Permanent: true},
		},
		"4xx to RCPT": {smtptest.Fault{At: smtptest.AtRcpt, Code: 450}, mail.Error{Code: 450}},
		"421 to RCPT": {smtptest.Fault{At: smtptest.AtRcpt, Code: 421}, mail.Error{Code: 421}},
		"5xx to DATA": {
			smtptest.Fault{At: smtptest.AtData, Code: 554},
			mail.Error{Code: 554, Permanent: true},
		},
		"4xx to DATA":                   {smtptest.Fault{At: smtptest.AtData, Code: 452}, mail.Error{Code: 452}},
		"MAIL breaks":                   {smtptest.Fault{At: smtptest.AtMail}, mail.Error{}},
		"RCPT breaks":                   {smtptest.Fault{At: smtptest.AtRcpt}, mail.Error{}},
		"dropped at the dot, not taken": {smtptest.Fault{At: smtptest.AtData}, mail.Error{InDoubt: true}},
		"dropped at the dot, taken":     {smtptest.Fault{At: smtptest.AtReply}, mail.Error{InDoubt: true}},
		"greeted with 421":              {smtptest.Fault{At: smtptest.AtConnect, Code: 421}, mail.Error{Code: 421}},
		"greeted with 554":              {smtptest.Fault{At: smtptest.AtConnect, Code: 554}, mail.Error{Code: 554}},
		"not greeted":                   {smtptest.Fault{At: smtptest.AtConnect}, mail.Error{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, sender := start(t, smtptest.Config{}, mail.Config{})
			server.Fail(test.fault)
			got := mustFail(t, sender, compose(t, user("en")))
			if got.Code != test.want.Code || got.Permanent != test.want.Permanent || got.InDoubt != test.want.InDoubt ||
				got.Detail == "" {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			server.Recover()
			if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

func TestServerDown(t *testing.T) {
	t.Parallel()
	server, sender := start(t, smtptest.Config{}, mail.Config{})
	if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // first over the idle connection, then over a new one
		if got := mustFail(t, sender, compose(t, user("en"))); got.Permanent || got.InDoubt {
			t.Errorf("got %+v", got)
		}
	}
}

// silent starts a server that accepts connections and sends nothing, and returns its address.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	return listener.Addr().String()
}

func TestConnectGivesUpOnASilentServer(t *testing.T) {
	t.Parallel()
	for _, mode := range []mail.TLSMode{mail.STARTTLS, mail.Implicit, mail.InsecurePlaintext} {
		sender := newSender(t, mail.Config{Addr: silent(t), TLS: mode, DialTimeout: 50 * time.Millisecond})
		begun := time.Now()
		if got := mustFail(t, sender, compose(t, user("en"))); got.Permanent || got.InDoubt {
			t.Errorf("%s: got %+v", mode, got)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: took %v", mode, took)
		}
	}
}

// TestSendEndsWithItsTimeout uses a server that accepts the mail and does not reply.
func TestSendEndsWithItsTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	_, sender := start(t, smtptest.Config{OnMail: func(smtptest.Mail) { <-release }},
		mail.Config{SendTimeout: time.Second})
	defer close(release)
	if got := mustFail(t, sender, compose(t, user("en"))); !got.InDoubt {
		t.Errorf("got %+v", got)
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	release, taken := make(chan struct{}), make(chan struct{})
	_, sender := start(t, smtptest.Config{OnMail: func(smtptest.Mail) { close(taken); <-release }}, mail.Config{})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-taken; cancel() }()
	var failure *mail.Error
	if err := send(ctx, sender, compose(t, user("en"))); !errors.As(err, &failure) || !failure.InDoubt {
		t.Errorf("got %v", err)
	}
}

func TestConnectWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	_, sender := start(t, smtptest.Config{}, mail.Config{MaxConns: 1})
	first, err := sender.Connect(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := sender.Connect(ctx, "example.com"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got more than MaxConns connections: %v", err)
	}
	first.Release()
	second, err := sender.Connect(t.Context(), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	second.Release()
}

func TestLogin(t *testing.T) {
	t.Parallel()
	for _, implicit := range []bool{false, true} {
		mode := map[bool]mail.TLSMode{false: mail.STARTTLS, true: mail.Implicit}[implicit]
		server := smtptest.Config{Username: "herald", Password: "secret", Implicit: implicit}
		_, sender := start(t, server, mail.Config{TLS: mode, Username: "herald", Password: "secret"})
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		_, sender = start(t, server, mail.Config{TLS: mode, Username: "herald", Password: "guess"})
		got := mustFail(t, sender, compose(t, user("en")))
		if got.Code != 535 || got.Permanent || strings.Contains(got.Error(), "guess") {
			t.Errorf("%s, wrong password: %+v", mode, got)
		}
	}
}

func TestTLSIsNotOptional(t *testing.T) {
	t.Parallel()
	plain, err := smtptest.Start(smtptest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	encrypted, _ := start(t, smtptest.Config{}, mail.Config{})
	for name, config := range map[string]mail.Config{
		"STARTTLS is not offered":    {Addr: plain.Addr()},
		"no TLS where it must be":    {Addr: plain.Addr(), TLS: mail.Implicit, DialTimeout: time.Second},
		"untrusted certificate":      {Addr: encrypted.Addr()},
		"plaintext, STARTTLS wanted": {Addr: encrypted.Addr(), TLS: mail.InsecurePlaintext},
	} {
		if got := mustFail(t, newSender(t, config), compose(t, user("en"))); got.Permanent || got.InDoubt {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if n := len(plain.Mails()) + len(encrypted.Mails()); n != 0 {
		t.Errorf("%d mails", n)
	}
	plaintext := newSender(t, mail.Config{Addr: plain.Addr(), TLS: mail.InsecurePlaintext})
	if err := send(t.Context(), plaintext, compose(t, user("en"))); err != nil {
		t.Errorf("plaintext: %v", err)
	}
}

func TestNewSenderRefuses(t *testing.T) {
	t.Parallel()
	good := mail.Config{Addr: "localhost:25", From: "Herald <herald@example.com>", Domain: "herald.service"}
	if _, err := mail.NewSender(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*mail.Config){
		"no port":            func(c *mail.Config) { c.Addr = "localhost" },
		"no host":            func(c *mail.Config) { c.Addr = ":25" },
		"port not numeric":   func(c *mail.Config) { c.Addr = "localhost:smtp" },
		"port too high":      func(c *mail.Config) { c.Addr = "localhost:65536" },
		"no sender":          func(c *mail.Config) { c.From = "" },
		"bad sender":         func(c *mail.Config) { c.From = "Herald" },
		"no domain":          func(c *mail.Config) { c.Domain = "" },
		"unknown TLS":        func(c *mail.Config) { c.TLS = "maybe" },
		"login in plaintext": func(c *mail.Config) { c.TLS, c.Username = mail.InsecurePlaintext, "herald" },
		"unknown mechanism":  func(c *mail.Config) { c.Auth = "magic" },
		"invalid domain":     func(c *mail.Config) { c.Domain = "herald service" },
		"invalid IDN":        func(c *mail.Config) { c.Domain = "\u202eherald.example" },
	} {
		config := good
		spoil(&config)
		if _, err := mail.NewSender(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
