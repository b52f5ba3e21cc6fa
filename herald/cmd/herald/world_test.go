package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/service/servicetest"
	"example.com/micromachine/pkg/smtptest"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// The URLs of the services. Package httptest has a certificate for both.
const (
	name       = "https://herald.example.com/"
	censusName = "https://census.example.com/"
	reader     = censusName + "user/21/"
	welcome    = `{"user":"` + censusName + `user/42/","type":"welcome-message"}`
	user42     = `{"uri":"` + censusName + `user/42/","name":"Census User","email":"census.user@example.com","locale":"en"}`
)

// world is the environment of a Herald: a Census, a mail server, and the service shop, which calls
// in the name of user 21.
type world struct {
	service *servicetest.World
	answer  atomic.Pointer[http.HandlerFunc] // Census's
	mail    *smtptest.Server
}

func newWorld(t *testing.T, databaseURL string) *world {
	t.Helper()
	w := &world{}
	w.answersBy(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, user42) })
	census := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*w.answer.Load())(rw, r) }))
	t.Cleanup(census.Close)
	var err error
	w.mail, err = smtptest.Start(smtptest.Config{
		TLS:      &tls.Config{Certificates: census.TLS.Certificates, MinVersion: tls.VersionTLS12},
		Username: "herald", Password: "hunter2",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.mail.Close() })
	w.service = &servicetest.World{
		Define: define, URL: name, DatabaseURL: databaseURL, Subject: reader, AwaitWork: w.awaitMails,
		Trust: svcauthtest.Trust{
			Issuer: svcauthtest.NewIssuer(t, "https://shop.service/"),
			Allow:  []string{"POST /notification/", "GET /notification/*"}, ActFor: []string{censusName + "user/*"},
		},
	}
	w.service.Prepare(t)
	w.set(t, census.Listener.Addr().String())
	return w
}

// set adds Herald's own settings.
func (w *world) set(t *testing.T, censusAddr string) {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"CENSUS_URL": censusName, "CONNECT_TO": "census.example.com:443:" + censusAddr, "CA_FILE": w.service.CAFile,
		"SMTP_ADDR": w.mail.Addr(), "SMTP_USERNAME": "herald", "SMTP_PASSWORD_FILE": password,
		"MAIL_FROM": "Herald <herald@example.com>",
	} {
		w.service.Set(name, value)
	}
}

func (w *world) answersBy(handler http.HandlerFunc) { w.answer.Store(&handler) }

// awaitMails waits until the mail server has so many mails.
func (w *world) awaitMails(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := w.mail.WaitFor(ctx, n); err != nil {
		t.Fatal(err)
	}
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

func execSQL(t *testing.T, databaseURL, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
