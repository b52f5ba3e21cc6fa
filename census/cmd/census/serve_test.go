package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// name is the one in the certificate that httptest brings along.
const name = "https://example.com/"

// system is a running Census and one who may call it.
type system struct {
	addr, adminAddr string
	caFile          string
	office          *svcauthtest.Issuer
	stop            context.CancelFunc
	ended           <-chan error
}

// environment returns what serve needs, for free ports, and the file of the
// authority that its certificate is from.
func environment(t *testing.T, databaseURL string, office *svcauthtest.Issuer) (environ []string, caFile string) {
	t.Helper()
	dir := t.TempDir()
	key, err := keys.Generate(keys.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Save(filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := writeCertificate(t, dir)
	trust := svcauthtest.WriteTrustFile(t, svcauthtest.Trust{
		Issuer: office, Allow: []string{"GET /user/*", "POST /user/"}, ActFor: []string{name + "user/*"}, Admin: true,
	})
	return []string{
		"CENSUS_URL=" + name,
		"CENSUS_DATABASE_URL=" + databaseURL,
		"CENSUS_LISTEN=127.0.0.1:0", "CENSUS_ADMIN_LISTEN=127.0.0.1:0",
		"CENSUS_TLS_CERT_FILE=" + certFile, "CENSUS_TLS_KEY_FILE=" + keyFile,
		"CENSUS_KEY_FILE=" + filepath.Join(dir, "key.pem"), "CENSUS_TRUST_FILE=" + trust,
	}, certFile
}

// writeCertificate writes the certificate that httptest has for example.com, which
// is its own authority, and its key.
func writeCertificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls-key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// start runs serve and returns when it listens. It is stopped when the test ends.
func start(t *testing.T, databaseURL string) *system {
	t.Helper()
	s := &system{office: svcauthtest.NewIssuer(t, "https://office.service/")}
	var environ []string
	environ, s.caFile = environment(t, databaseURL, s.office)
	log, stderr := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s.stop, s.ended = stop, ended
	go func() {
		err := run(ctx, []string{"serve"}, environ, io.Discard, stderr)
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

// wantEnd stops Census and waits for an orderly end.
func (s *system) wantEnd(t *testing.T) {
	t.Helper()
	s.stop()
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("serve ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("serve does not end")
	}
}

// request returns a signed request in the name of user 1.
func (s *system) request(t *testing.T, method, path, body string) *http.Request {
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
	s.office.Sign(t, r, name, name+"user/1/")
	return r
}

// send sends a request and returns the status and body of the answer.
func (s *system) send(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	client, err := httpclient.New(httpclient.Config{CAFile: s.caFile, ConnectTo: "example.com:443:" + s.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
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

// From an empty database to an answer over TLS, and to an orderly end.
func TestServe(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, nil)
	database := []string{"CENSUS_DATABASE_URL=" + databaseURL}
	for range 2 {
		execute(t, database, "migrate").mustSucceed(t)
	}
	execute(t, database, "user", "add", "--admin", "--name", "Admin", "--email", "admin@example.com").mustSucceed(t)
	s := start(t, databaseURL)
	execute(t, []string{"CENSUS_ADMIN_LISTEN=" + s.adminAddr}, "healthcheck").mustSucceed(t)

	status, body := s.send(t, s.request(t, http.MethodGet, "user/1/", ""))
	if want := `{"uri":"https://example.com/user/1/","name":"Admin","email":"admin@example.com","locale":"en"}`; status != http.StatusOK || strings.TrimSpace(body) != want {
		t.Errorf("GET /user/1/: %d %s, want %s", status, body, want)
	}
	const newUser = `{"name":"New","email":"new@example.com"}`
	first := s.request(t, http.MethodPost, "user/", newUser)
	token := first.Header.Get(svcauth.Header)
	if status, body := s.send(t, first); status != http.StatusCreated || !strings.Contains(body, "user/2/") {
		t.Errorf("POST /user/: %d %s", status, body)
	}
	again := s.request(t, http.MethodPost, "user/", newUser)
	again.Header.Set(svcauth.Header, token)
	if status, body := s.send(t, again); status != http.StatusUnauthorized {
		t.Errorf("POST /user/ with a used token: %d %s", status, body)
	}
	if n := burnt(t, databaseURL); n != 1 {
		t.Errorf("%d tokens are remembered in the database, want 1", n)
	}
	if metrics := s.metrics(t); !strings.Contains(metrics, `svcauth_calls_refused_total{check="replay",issuer="https://office.service/"} 1`) {
		t.Errorf("metrics %s", metrics)
	}
	if status, body := s.send(t, s.request(t, http.MethodGet, keys.JWKSPath, "")); status != http.StatusOK || !strings.Contains(body, `"kid"`) {
		t.Errorf("key set: %d %s", status, body)
	}
	s.wantEnd(t)
	execute(t, []string{"CENSUS_ADMIN_LISTEN=" + s.adminAddr}, "healthcheck").mustFail(t, 1, "readiness")
}

func burnt(t *testing.T, databaseURL string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), `select count(*) from svcauth_replay`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Census starts while its database is not there or not migrated, says that it is
// not ready, and is so as soon as the database is.
func TestServeBeforeMigration(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, nil)
	s := start(t, databaseURL)
	admin := []string{"CENSUS_ADMIN_LISTEN=" + s.adminAddr}
	execute(t, admin, "healthcheck").mustFail(t, 1, "503")
	execute(t, []string{"CENSUS_DATABASE_URL=" + databaseURL}, "migrate").mustSucceed(t)
	execute(t, admin, "healthcheck").mustSucceed(t)
	s.wantEnd(t)
}

func TestServeWithoutDatabase(t *testing.T) {
	t.Parallel()
	s := start(t, "postgres://127.0.0.1:1/census?sslmode=disable")
	execute(t, []string{"CENSUS_ADMIN_LISTEN=" + s.adminAddr}, "healthcheck").mustFail(t, 1, "503")
	if status, body := s.send(t, s.request(t, http.MethodGet, "user/1/", "")); status != http.StatusServiceUnavailable || strings.Contains(body, "127.0.0.1") {
		t.Errorf("GET /user/1/: %d %s", status, body)
	}
	if status, body := s.send(t, s.request(t, http.MethodPost, "user/", "{}")); status != http.StatusServiceUnavailable {
		t.Errorf("POST /user/: %d %s", status, body)
	}
	s.wantEnd(t)
}

// What cannot work is told before anything is served, by the names of the
// settings that are to blame.
func TestServeRefusesToStart(t *testing.T) {
	t.Parallel()
	good, certFile := environment(t, "postgres://127.0.0.1:1/census", svcauthtest.NewIssuer(t, "https://office.service/"))
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("issuers:\n  - issuer: https://a.service/\n    key: a.pem\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		settings []string
		want     []string
	}{
		{[]string{"CENSUS_DATABASE_URL=postgres://x:y:z"}, []string{"CENSUS_DATABASE_URL: "}},
		{[]string{"CENSUS_KEY_FILE=/nowhere", "CENSUS_TRUST_FILE=" + bad}, []string{"CENSUS_KEY_FILE: ", "/nowhere", "CENSUS_TRUST_FILE: ", "bad.yaml:3", `"key"`}},
		{[]string{"CENSUS_KEY_FILE=/nowhere"}, []string{"CENSUS_KEY_FILE: "}},
		{[]string{"CENSUS_KEY_FILE=" + certFile}, []string{"CENSUS_KEY_FILE: "}},
		{[]string{"CENSUS_TRUST_FILE=/nowhere"}, []string{"CENSUS_TRUST_FILE: ", "/nowhere"}},
		{[]string{"CENSUS_CA_FILE=/nowhere"}, []string{"CENSUS_CA_FILE", "/nowhere"}},
		{[]string{"CENSUS_CONNECT_TO=herald.service"}, []string{"CENSUS_CONNECT_TO", "herald.service"}},
		{[]string{"CENSUS_TLS_CERT_FILE=/nowhere"}, []string{"CENSUS_TLS_CERT_FILE", "/nowhere"}},
		{[]string{"CENSUS_TLS_KEY_FILE=" + certFile}, []string{"CENSUS_TLS_KEY_FILE"}},
		{[]string{"CENSUS_LISTEN=127.0.0.1:http:x"}, []string{"CENSUS_LISTEN"}},
		{[]string{"CENSUS_ADMIN_LISTEN=256.0.0.1:0"}, []string{"CENSUS_ADMIN_LISTEN"}},
	} {
		got := execute(t, append(slices.Clip(good), row.settings...), "serve")
		for _, want := range row.want {
			got.mustFail(t, 2, want)
		}
	}
}
