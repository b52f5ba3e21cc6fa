package smtptest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http/httptest"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/smtptest"
)

const (
	from = "herald@example.com"
	to   = "census.user@example.com"
	body = "Subject: Hello\r\n\r\nA line.\r\n.a line with a dot\r\n"
)

func start(t *testing.T, config smtptest.Config) *smtptest.Server {
	t.Helper()
	server, err := smtptest.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// send sends one mail and returns the first error of the conversation.
func send(addr string, clientTLS *tls.Config, auth smtp.Auth) error {
	client, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	if clientTLS != nil {
		if err := client.StartTLS(clientTLS); err != nil {
			return err
		}
	}
	if auth != nil {
		if err := client.Auth(auth); err != nil {
			return err
		}
	}
	return errors.Join(transact(client), client.Quit())
}

func transact(client *smtp.Client) error {
	if err := client.Mail(from); err != nil {
		return err
	}
	if err := client.Rcpt(to); err != nil {
		return err
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, body); err != nil {
		return err
	}
	return w.Close()
}

// certificate returns matching TLS configurations of a server and a client for 127.0.0.1.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	server = &tls.Config{Certificates: https.TLS.Certificates, MinVersion: tls.VersionTLS12}
	roots := x509.NewCertPool()
	roots.AddCert(https.Certificate())
	client = &tls.Config{ServerName: "127.0.0.1", RootCAs: roots, MinVersion: tls.VersionTLS12}
	return server, client
}

func replyCode(err error) int {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return reply.Code
	}
	return 0
}

func TestAcceptsMail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	received := make(chan smtptest.Mail, 1)
	server := start(t, smtptest.Config{Dir: dir, OnMail: func(m smtptest.Mail) { received <- m }})
	if err := send(server.Addr(), nil, nil); err != nil {
		t.Fatal(err)
	}

	mails, err := server.WaitFor(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]smtptest.Mail{"WaitFor": mails[0], "Mails": server.Mails()[0], "OnMail": <-received} {
		if m.From != from || !slices.Equal(m.To, []string{to}) || string(m.Data) != body {
			t.Errorf("%s: %q from %q to %q", name, m.Data, m.From, m.To)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || !strings.HasSuffix(files[0].Name(), ".eml") {
		t.Fatalf("files: %v, %v", files, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, files[0].Name())); err != nil || string(data) != body {
		t.Errorf("file: %q, %v", data, err)
	}
}

func TestWaitForEndsWithContext(t *testing.T) {
	t.Parallel()
	server := start(t, smtptest.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if mails, err := server.WaitFor(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || len(mails) != 0 {
		t.Errorf("got %v, %v", mails, err)
	}
}

func TestSTARTTLSIsRequired(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := certificate(t)
	server := start(t, smtptest.Config{TLS: serverTLS})
	if err := send(server.Addr(), nil, nil); replyCode(err) != 530 {
		t.Errorf("without: %v", err)
	}
	if err := send(server.Addr(), clientTLS, nil); err != nil {
		t.Errorf("with: %v", err)
	}
	if n := len(server.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := certificate(t)
	server := start(t, smtptest.Config{TLS: serverTLS, Implicit: true})
	conn, err := tls.Dial("tcp", server.Addr(), clientTLS)
	if err != nil {
		t.Fatal(err)
	}
	client, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := transact(client); err != nil {
		t.Error(err)
	}
}

func TestAuth(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := certificate(t)
	server := start(t, smtptest.Config{TLS: serverTLS, Username: "herald", Password: "secret"})
	for _, test := range []struct {
		name string
		auth smtp.Auth
		code int
	}{
		{"none", nil, 502},
		{"wrong", smtp.PlainAuth("", "herald", "guess", "127.0.0.1"), 535},
		{"right", smtp.PlainAuth("", "herald", "secret", "127.0.0.1"), 0},
	} {
		if err := send(server.Addr(), clientTLS, test.auth); replyCode(err) != test.code {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if n := len(server.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault smtptest.Fault
		code  int
		mails int
	}{
		"connect":               {smtptest.Fault{At: smtptest.AtConnect, Code: 421}, 421, 0},
		"mail":                  {smtptest.Fault{At: smtptest.AtMail, Code: 451}, 451, 0},
		"rcpt":                  {smtptest.Fault{At: smtptest.AtRcpt, Code: 550}, 550, 0},
		"data":                  {smtptest.Fault{At: smtptest.AtData, Code: 452}, 452, 0},
		"reply":                 {smtptest.Fault{At: smtptest.AtReply, Code: 451}, 451, 1},
		"drop before taking":    {smtptest.Fault{At: smtptest.AtData}, 0, 0},
		"drop after taking":     {smtptest.Fault{At: smtptest.AtReply}, 0, 1},
		"drop after the answer": {smtptest.Fault{At: smtptest.AtEnd}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t, smtptest.Config{})
			test.fault.Times = 2
			server.Fail(test.fault)
			for range 2 {
				if err := send(server.Addr(), nil, nil); err == nil || replyCode(err) != test.code {
					t.Errorf("got %v, want code %d", err, test.code)
				}
			}
			if n := len(server.Mails()); n != 2*test.mails {
				t.Errorf("%d mails", n)
			}
			if err := send(server.Addr(), nil, nil); err != nil {
				t.Errorf("after the faults: %v", err)
			}
		})
	}
}

// With AtEnd, the client gets the reply that its mail is accepted before the connection is closed.
func TestReplyArrivesBeforeConnectionCloses(t *testing.T) {
	t.Parallel()
	server := start(t, smtptest.Config{})
	server.Fail(smtptest.Fault{At: smtptest.AtEnd})
	client, err := smtp.Dial(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := transact(client); err != nil {
		t.Errorf("the mail was not accepted: %v", err)
	}
	if err := client.Reset(); err == nil {
		t.Error("RSET is answered")
	}
	server.Recover()
	if err := send(server.Addr(), nil, nil); err != nil {
		t.Errorf("after Recover: %v", err)
	}
}

func TestCloseFreesTheAddress(t *testing.T) {
	t.Parallel()
	server := start(t, smtptest.Config{})
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := send(server.Addr(), nil, nil); err == nil {
		t.Error("a closed server accepts mail")
	}
	again := start(t, smtptest.Config{Addr: server.Addr()})
	if err := send(again.Addr(), nil, nil); err != nil {
		t.Errorf("started again: %v", err)
	}
}

// OnStage is called at each stage in order, and the fault that it returns occurs.
func TestOnStage(t *testing.T) {
	t.Parallel()
	all := []smtptest.Stage{
		smtptest.AtHello, smtptest.AtMail, smtptest.AtRcpt,
		smtptest.AtBody, smtptest.AtData, smtptest.AtReply, smtptest.AtEnd,
	}
	for i, refused := range all {
		stages := make(chan smtptest.Stage, 10)
		server := start(t, smtptest.Config{OnStage: func(at smtptest.Stage, m smtptest.Mail) (smtptest.Fault, bool) {
			stages <- at
			if knows := len(m.To) > 0; knows != (at > smtptest.AtRcpt) {
				t.Errorf("stage %d: to %v", at, m.To)
			}
			return smtptest.Fault{Code: 451}, at == refused
		}})
		if err := send(server.Addr(), nil, nil); err == nil {
			t.Errorf("refused at %d: no error", refused)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		for _, want := range all[:i+1] {
			if got := <-stages; got != want {
				t.Errorf("refused at %d: stage %d, want %d", refused, got, want)
			}
		}
		if len(stages) > 0 && refused != smtptest.AtHello { // net/smtp tries HELO then
			t.Errorf("refused at %d: goes on to %d", refused, <-stages)
		}
	}
}
