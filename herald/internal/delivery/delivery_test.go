package delivery_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/delivery"
	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/herald/internal/postgres"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/smtptest"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

const (
	censusURL = "https://census.service/"
	creator   = censusURL + "user/21/"
	address   = "census.user@example.com"
	user42    = `{"uri":"https://census.service/user/42/","name":"Census User","email":"` + address + `","locale":"en"}`
)

// within is how long a test waits for what must happen.
const within = 20 * time.Second

// A world is what a delivery service works in.
type world struct {
	databaseURL string
	pool        *pgxpool.Pool
	store       *postgres.Store
	mail        *smtptest.Server
	census      *httptest.Server
	answer      atomic.Pointer[http.HandlerFunc] // Census's
	asked       atomic.Int32                     // how often Census was
	log         *syncBuffer
}

// syncBuffer takes what several goroutines log.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// newWorld returns a world in which nobody works yet. What is logged in it never
// holds the address.
func newWorld(t *testing.T, mails smtptest.Config) *world {
	t.Helper()
	return newWorldIn(t, pgtest.New(t, migrations.Up), mails)
}

func newWorldIn(t *testing.T, databaseURL string, mails smtptest.Config) *world {
	t.Helper()
	w := &world{databaseURL: databaseURL, log: &syncBuffer{}}
	w.answers(http.StatusOK, user42)
	w.census = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		(*w.answer.Load())(rw, r)
	}))
	t.Cleanup(w.census.Close)
	mails.TLS = &tls.Config{Certificates: w.census.TLS.Certificates, MinVersion: tls.VersionTLS12}
	var err error
	if w.mail, err = smtptest.Start(mails); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.mail.Close() })
	w.pool = pgtest.NewPool(t, w.databaseURL)
	w.store = postgres.New(w.pool, postgres.NewProcess())
	t.Cleanup(func() {
		if log := w.log.String(); strings.Contains(log, address) {
			t.Errorf("the address is logged: %s", log)
		} else if t.Failed() {
			t.Logf("logged: %s", log)
		}
	})
	return w
}

// answers sets what Census answers from now on.
func (w *world) answers(status int, body string) {
	w.answersBy(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(status)
		fmt.Fprint(rw, body)
	})
}

func (w *world) answersBy(handler http.HandlerFunc) { w.answer.Store(&handler) }

// quick retries at once, more or less, and finds dead processes within a second.
var quick = delivery.Config{
	Retry:            delivery.Schedule{First: time.Millisecond, Max: 100 * time.Millisecond},
	RecoveryInterval: 50 * time.Millisecond, DeadAfter: 500 * time.Millisecond, FirstProbe: 10 * time.Millisecond,
}

// poolConns is the number of database connections of a service.
const poolConns = 16

// newService returns a service for the world at these addresses.
func newService(
	ctx context.Context, databaseURL, mailAddr, censusAddr string, log *slog.Logger, config delivery.Config,
) (*delivery.Service, func(), error) {
	trust, dial := trusting(censusAddr)
	key, err := keys.Generate(keys.EdDSA)
	if err != nil {
		return nil, nil, err
	}
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://herald.service/", Key: key})
	if err != nil {
		return nil, nil, err
	}
	config.Logger = log
	transport := &http.Transport{DialContext: dial, TLSClientConfig: trust, MaxIdleConnsPerHost: 128}
	config.Census, err = censusclient.New(censusclient.Config{
		URL: censusURL, Signer: signer, Logger: log, HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		return nil, nil, err
	}
	config.Mail, err = mail.NewSender(mail.Config{
		Addr: mailAddr, Roots: trust.RootCAs, From: "Herald <herald@example.com>", Domain: "herald.service",
	})
	if err != nil {
		return nil, nil, err
	}
	connect, err := database.Parse(databaseURL)
	if err != nil {
		return nil, nil, err
	}
	if config.Pool, err = connect.Open(ctx, poolConns); err != nil {
		return nil, nil, err
	}
	config.Process = cmp.Or(config.Process, postgres.NewProcess())
	config.Store = postgres.New(config.Pool, config.Process)
	config.Requests = config.Store
	service, err := delivery.New(config)
	return service, func() {
		config.Mail.Close()
		config.Pool.Close()
		transport.CloseIdleConnections()
	}, err
}

// trusting returns what a client needs to trust httptest's certificate, which is
// the same in every process, as census.service's.
func trusting(addr string) (*tls.Config, func(context.Context, string, string) (net.Conn, error)) {
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	roots := x509.NewCertPool()
	roots.AddCert(https.Certificate())
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}, dial
}

// work starts a service in the world and returns what stops it, as SIGTERM would.
func (w *world) work(t *testing.T, config delivery.Config) (stop func()) {
	t.Helper()
	_, stop = w.start(t, config)
	return stop
}

// start starts a service in the world and returns it with what stops it, as SIGTERM would.
func (w *world) start(t *testing.T, config delivery.Config) (service *delivery.Service, stop func()) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(w.log, nil))
	service, closeAll, err := newService(t.Context(), w.databaseURL, w.mail.Addr(), w.census.Listener.Addr().String(), log, config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		closeAll()
	})
	t.Cleanup(stop)
	return service, stop
}

func (w *world) create(t *testing.T) uuid.UUID {
	t.Helper()
	request := herald.Request{Creator: creator, UserID: 42, Type: herald.WelcomeMessage}
	n, err := w.store.Create(t.Context(), herald.Claim{Request: request})
	if err != nil {
		t.Fatal(err)
	}
	return n.ID
}

// await waits until a notification is as it should be.
func (w *world) await(t *testing.T, id uuid.UUID, is func(*herald.Notification) bool) *herald.Notification {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		n, err := w.store.Notification(ctx, creator, id)
		if err != nil {
			t.Fatal(err)
		}
		if is(n) {
			return n
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: it is %+v", within, n)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func always(*herald.Notification) bool { return true }

func final(n *herald.Notification) bool { return n.Status.Final() }

func attempted(n *herald.Notification) bool {
	return len(n.Attempts) > 0 && n.Attempts[len(n.Attempts)-1].FinishedAt != nil
}

// awaitLog waits until a text is logged.
func (w *world) awaitLog(t *testing.T, text string) {
	t.Helper()
	awaitTrue(t, "logged: "+text, func() bool { return strings.Contains(w.log.String(), text) })
}

// awaitCensus waits until Census has been asked so often.
func (w *world) awaitCensus(t *testing.T, times int32) {
	t.Helper()
	awaitTrue(t, "Census is asked", func() bool { return w.asked.Load() >= times })
}

func awaitTrue(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// jobs counts the jobs in a state.
func (w *world) jobs(t *testing.T, state string) (n int) {
	t.Helper()
	if err := w.pool.QueryRow(t.Context(), `select count(*) from river_job where state = $1`, state).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// outcomes returns the outcomes of a notification's attempts.
func outcomes(n *herald.Notification) string {
	var all []string
	for _, a := range n.Attempts {
		all = append(all, string(a.Outcome))
	}
	return strings.Join(all, ",")
}

// wantMails fails the test unless just so many mails have come for a notification,
// all of them with the same Message-ID and Date.
func (w *world) wantMails(t *testing.T, id uuid.UUID, want int) {
	t.Helper()
	var dates []string
	for _, m := range w.mail.Mails() {
		if strings.Contains(string(m.Data), "Message-ID: <"+id.String()+"@herald.service>\r\n") {
			_, after, _ := strings.Cut(string(m.Data), "Date: ")
			date, _, _ := strings.Cut(after, "\r\n")
			dates = append(dates, date)
		}
	}
	if len(dates) != want {
		t.Errorf("%d mails, want %d", len(dates), want)
	}
	for _, date := range dates {
		if date == "" || date != dates[0] {
			t.Errorf("dates %q", dates)
		}
	}
}
