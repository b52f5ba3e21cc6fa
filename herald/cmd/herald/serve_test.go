package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/httpclient"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/smtptest"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// The names of the services: httptest brings a certificate for both.
const (
	name       = "https://herald.example.com/"
	censusName = "https://census.example.com/"
	reader     = censusName + "user/21/"
	welcome    = `{"user":"` + censusName + `user/42/","type":"welcome-message"}`
	user42     = `{"uri":"` + censusName + `user/42/","name":"Census User","email":"census.user@example.com","locale":"en"}`
)

// world is what Herald has to do with.
type world struct {
	dir         string
	databaseURL string
	census      *httptest.Server
	answer      atomic.Pointer[http.HandlerFunc] // Census's
	mail        *smtptest.Server
	shop        *svcauthtest.Issuer
	environ     []string
}

func newWorld(t *testing.T, databaseURL string) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), databaseURL: databaseURL, shop: svcauthtest.NewIssuer(t, "https://shop.service/")}
	w.answersBy(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, user42) })
	w.census = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*w.answer.Load())(rw, r) }))
	t.Cleanup(w.census.Close)
	var err error
	w.mail, err = smtptest.Start(smtptest.Config{
		TLS:      &tls.Config{Certificates: w.census.TLS.Certificates, MinVersion: tls.VersionTLS12},
		Username: "herald", Password: "hunter2",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.mail.Close() })
	w.environ = w.environment(t)
	return w
}

func (w *world) answersBy(handler http.HandlerFunc) { w.answer.Store(&handler) }

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// environment returns what serve needs, for free ports.
func (w *world) environment(t *testing.T) []string {
	t.Helper()
	key, err := keys.Generate(keys.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Save(w.file("key.pem")); err != nil {
		t.Fatal(err)
	}
	pair := w.census.TLS.Certificates[0]
	tlsKey, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{
		"tls.pem":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		"tls-key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: tlsKey}),
		"password":    []byte("hunter2\n"),
	} {
		if err := os.WriteFile(w.file(file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust := svcauthtest.WriteTrustFile(t, svcauthtest.Trust{
		Issuer: w.shop, Allow: []string{"POST /notification/", "GET /notification/*"}, ActFor: []string{censusName + "user/*"},
	})
	return []string{
		"HERALD_URL=" + name, "HERALD_CENSUS_URL=" + censusName,
		"HERALD_CONNECT_TO=census.example.com:443:" + w.census.Listener.Addr().String(),
		"HERALD_CA_FILE=" + w.file("tls.pem"),
		"HERALD_DATABASE_URL=" + w.databaseURL,
		"HERALD_LISTEN=127.0.0.1:0", "HERALD_ADMIN_LISTEN=127.0.0.1:0",
		"HERALD_TLS_CERT_FILE=" + w.file("tls.pem"), "HERALD_TLS_KEY_FILE=" + w.file("tls-key.pem"),
		"HERALD_KEY_FILE=" + w.file("key.pem"), "HERALD_TRUST_FILE=" + trust,
		"HERALD_SMTP_ADDR=" + w.mail.Addr(), "HERALD_SMTP_USERNAME=herald", "HERALD_SMTP_PASSWORD_FILE=" + w.file("password"),
		"HERALD_MAIL_FROM=Herald <herald@example.com>",
	}
}

// system is a running Herald.
type system struct {
	*world
	addr, adminAddr string
	stop            context.CancelFunc
	ended           <-chan error
}

// start runs serve and returns when it listens. It is stopped when the test ends.
func (w *world) start(t *testing.T) *system {
	t.Helper()
	log, stderr := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := &system{world: w, stop: stop, ended: ended}
	go func() {
		err := run(ctx, []string{"serve"}, w.environ, io.Discard, stderr)
		_ = stderr.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(stop)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct {
			Msg, Addr string
			AdminAddr string `json:"admin_addr"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("a log line that is not JSON: %s", lines.Text())
		}
		if line.Msg == "listening" {
			s.addr, s.adminAddr = line.Addr, line.AdminAddr
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return s
		}
	}
	t.Fatalf("it ended instead of listening: %v", <-ended)
	return nil
}

// wantEnd stops Herald and waits for an orderly end.
func (s *system) wantEnd(t *testing.T) {
	t.Helper()
	s.stop()
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("serve ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("serve does not end")
	}
}

// send sends a signed request in the reader's name, and returns the status and body
// of the answer.
func (s *system) send(t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, name+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body, r.ContentLength, r.GetBody = nil, 0, nil
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	s.shop.Sign(t, r, name, reader)
	client, err := httpclient.New(httpclient.Config{CAFile: s.file("tls.pem"), ConnectTo: "herald.example.com:443:" + s.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(content)
}

// metrics returns what the admin listener says of the service.
func (s *system) metrics(t *testing.T) string {
	t.Helper()
	res, err := http.DefaultClient.Get("http://" + s.adminAddr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("metrics: status %d, %v", res.StatusCode, err)
	}
	return string(content)
}

// From an empty database to a mail, and to an orderly end.
func TestServe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t, nil))
	for range 2 {
		execute(t, []string{"HERALD_DATABASE_URL=" + w.databaseURL}, "migrate").mustSucceed(t)
	}
	s := w.start(t)
	admin := []string{"HERALD_ADMIN_LISTEN=" + s.adminAddr}
	execute(t, admin, "healthcheck").mustSucceed(t)

	status, body := s.send(t, http.MethodPost, "notification/", welcome)
	if status != http.StatusCreated {
		t.Fatalf("POST: %d %s", status, body)
	}
	var created struct{ URI string }
	if err := json.Unmarshal([]byte(body), &created); err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(created.URI, name)
	mail := w.awaitMail(t)
	id := strings.TrimSuffix(strings.TrimPrefix(path, "notification/"), "/")
	if data := string(mail.Data); !strings.Contains(data, "Message-ID: <"+id+"@herald.example.com>\r\n") {
		t.Errorf("mail:\n%s", data)
	}
	if status, body := s.send(t, http.MethodGet, path, ""); status != http.StatusOK || !strings.Contains(body, `"status":"sen`) {
		t.Errorf("GET: %d %s", status, body)
	}
	if status, body := s.send(t, http.MethodGet, keys.JWKSPath, ""); status != http.StatusOK || !strings.Contains(body, `"kid"`) {
		t.Errorf("key set: %d %s", status, body)
	}
	if metrics := s.metrics(t); !strings.Contains(metrics, "svcauth_calls_passed_total{issuer=") {
		t.Errorf("metrics %s", metrics)
	}
	if n := count(t, w.databaseURL, "svcauth_replay"); n != 1 {
		t.Errorf("%d tokens are remembered in the database, want 1", n)
	}
	s.wantEnd(t)
	execute(t, admin, "healthcheck").mustFail(t, 1, "readiness")
	if n := count(t, w.databaseURL, "notifications where status = 'sent'"); n != 1 {
		t.Errorf("%d notifications are sent", n)
	}
}

// awaitMail waits for the first mail.
func (w *world) awaitMail(t *testing.T) smtptest.Mail {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	mails, err := w.mail.WaitFor(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	return mails[0]
}

func count(t *testing.T, databaseURL, table string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), `select count(*) from `+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEndWithARequestUnderWay ends Herald while it waits for Census: the request is
// answered all the same, and what was accepted is delivered by the next one.
func TestEndWithARequestUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t, migrations.Up))
	reached, open := make(chan struct{}), make(chan struct{})
	w.answersBy(func(rw http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-open
		fmt.Fprint(rw, user42)
	})
	s := w.start(t)
	answered := make(chan int, 1)
	go func() {
		status, _ := s.send(t, http.MethodPost, "notification/", welcome)
		answered <- status
	}()
	<-reached
	s.stop()
	for execute(t, []string{"HERALD_ADMIN_LISTEN=" + s.adminAddr}, "healthcheck").err == nil {
		continue // until it says that it drains
	}
	w.answersBy(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, user42) })
	close(open)
	if status := <-answered; status != http.StatusCreated {
		t.Fatalf("status %d", status)
	}
	s.wantEnd(t)
	next := w.start(t)
	w.awaitMail(t)
	next.wantEnd(t)
	if n := len(w.mail.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// Herald starts while its database is not there or not migrated, says that it is
// not ready, and is so as soon as the database is.
func TestServeBeforeMigration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t, nil))
	s := w.start(t)
	admin := []string{"HERALD_ADMIN_LISTEN=" + s.adminAddr}
	execute(t, admin, "healthcheck").mustFail(t, 1, "503")
	execute(t, []string{"HERALD_DATABASE_URL=" + w.databaseURL}, "migrate").mustSucceed(t)
	execute(t, admin, "healthcheck").mustSucceed(t)
	if status, body := s.send(t, http.MethodPost, "notification/", welcome); status != http.StatusCreated {
		t.Errorf("POST: %d %s", status, body)
	}
	w.awaitMail(t)
	s.wantEnd(t)
}

func TestServeWithoutDatabase(t *testing.T) {
	t.Parallel()
	s := newWorld(t, "postgres://127.0.0.1:1/herald?sslmode=disable").start(t)
	execute(t, []string{"HERALD_ADMIN_LISTEN=" + s.adminAddr}, "healthcheck").mustFail(t, 1, "503")
	const id = "019aa2b1-5c3e-7d10-9f0a-3b6d1c2e4f50"
	if status, body := s.send(t, http.MethodGet, "notification/"+id+"/", ""); status != http.StatusServiceUnavailable || strings.Contains(body, "127.0.0.1") {
		t.Errorf("GET: %d %s", status, body)
	}
	if status, body := s.send(t, http.MethodPost, "notification/", welcome); status != http.StatusServiceUnavailable {
		t.Errorf("POST: %d %s", status, body)
	}
	s.wantEnd(t)
}

// What cannot work is told before anything is served, by the names of the
// settings that are to blame.
func TestServeRefusesToStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "postgres://127.0.0.1:1/herald")
	bad := w.file("bad.yaml")
	if err := os.WriteFile(bad, []byte("issuers:\n  - issuer: https://a.service/\n    key: a.pem\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		settings []string
		want     []string
	}{
		{[]string{"HERALD_DATABASE_URL=postgres://x:y:z"}, []string{"HERALD_DATABASE_URL: "}},
		{[]string{"HERALD_KEY_FILE=/nowhere", "HERALD_TRUST_FILE=" + bad}, []string{"HERALD_KEY_FILE: ", "/nowhere", "HERALD_TRUST_FILE: ", "bad.yaml:3", `"key"`}},
		{[]string{"HERALD_KEY_FILE=" + w.file("tls.pem")}, []string{"HERALD_KEY_FILE: "}},
		{[]string{"HERALD_TRUST_FILE=/nowhere"}, []string{"HERALD_TRUST_FILE: ", "/nowhere"}},
		{[]string{"HERALD_CA_FILE=/nowhere"}, []string{"HERALD_CA_FILE", "/nowhere"}},
		{[]string{"HERALD_CONNECT_TO=census.service"}, []string{"HERALD_CONNECT_TO", "census.service"}},
		{[]string{"HERALD_SMTP_ADDR=mail:smtp", "HERALD_KEY_FILE=/nowhere"}, []string{"HERALD_SMTP_ADDR: ", "HERALD_KEY_FILE: "}},
		{[]string{"HERALD_SMTP_TLS=insecure-plaintext"}, []string{"HERALD_SMTP_", "TLS"}},
		{[]string{"HERALD_TLS_CERT_FILE=/nowhere"}, []string{"HERALD_TLS_CERT_FILE", "/nowhere"}},
		{[]string{"HERALD_TLS_KEY_FILE=" + w.file("tls.pem")}, []string{"HERALD_TLS_KEY_FILE"}},
		{[]string{"HERALD_LISTEN=127.0.0.1:http:x"}, []string{"HERALD_LISTEN"}},
		{[]string{"HERALD_ADMIN_LISTEN=256.0.0.1:0"}, []string{"HERALD_ADMIN_LISTEN"}},
	} {
		got := execute(t, append(slices.Clip(w.environ), row.settings...), "serve")
		for _, want := range row.want {
			got.mustFail(t, 2, want)
		}
		if strings.Contains(got.err.Error(), "hunter2") {
			t.Errorf("with %q: the password is told: %v", row.settings, got.err)
		}
	}
}
