package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth/keys"
)

// Herald runs from an empty database to a mail and an orderly end.
func TestServe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t, nil))
	for range 2 {
		execute(t, []string{"HERALD_DATABASE_URL=" + w.service.DatabaseURL}, "migrate").MustSucceed(t)
	}
	s := w.service.Start(t)
	s.AwaitReady(t)
	execute(t, s.Admin(), "healthcheck").MustSucceed(t)

	path := create(t, s)
	w.awaitMails(t, 1)
	id := strings.TrimSuffix(strings.TrimPrefix(path, "notification/"), "/")
	if data := string(w.mail.Mails()[0].Data); !strings.Contains(data, "Message-ID: <"+id+"@herald.example.com>\r\n") {
		t.Errorf("mail:\n%s", data)
	}
	if res, body := s.Send(t, http.MethodGet, path, ""); res.StatusCode != http.StatusOK || !strings.Contains(body, `"status":"sen`) {
		t.Errorf("GET: %d %s", res.StatusCode, body)
	}
	if res, body := s.Send(t, http.MethodGet, keys.JWKSPath, ""); res.StatusCode != http.StatusOK || !strings.Contains(body, `"kid"`) {
		t.Errorf("key set: %d %s", res.StatusCode, body)
	}
	if metrics := s.Metrics(t); !strings.Contains(metrics, "svcauth_calls_passed_total{issuer=") {
		t.Errorf("metrics %s", metrics)
	}
	if n := count(t, w.service.DatabaseURL, "svcauth_replay"); n != 1 {
		t.Errorf("%d tokens are remembered in the database, want 1", n)
	}
	s.WantEnd(t)
	execute(t, s.Admin(), "healthcheck").MustFail(t, 1, "readiness")
	if n := count(t, w.service.DatabaseURL, "notifications where status = 'sent'"); n != 1 {
		t.Errorf("%d notifications are sent", n)
	}
}

// A request that waits for Census while Herald ends is answered, and the notification is delivered
// by the next process.
func TestEndWithARequestInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t, migrations.Up))
	reached, open := make(chan struct{}), make(chan struct{})
	w.answersBy(func(rw http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-open
		fmt.Fprint(rw, user42)
	})
	s := w.service.Start(t)
	answered := make(chan int, 1)
	r := s.NewRequest(t, http.MethodPost, "notification/", welcome)
	go func() {
		defer close(answered) // Do ends this goroutine when the request fails
		res, _ := s.Do(t, r)
		answered <- res.StatusCode
	}()
	select {
	case <-reached:
	case status := <-answered:
		t.Fatalf("answered %d before Census was asked", status)
	}
	s.Stop()
	for execute(t, s.Admin(), "healthcheck").Err == nil {
		continue // until it says that it drains
	}
	w.answersBy(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, user42) })
	close(open)
	if status := <-answered; status != http.StatusCreated {
		t.Fatalf("status %d", status)
	}
	s.WantEnd(t)
	next := w.service.Start(t)
	w.awaitMails(t, 1)
	next.WantEnd(t)
	if n := len(w.mail.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// A Herald that can accept notifications but not deliver them is not ready.
func TestNotReadyWithoutDeliveries(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, migrations.Up)
	execSQL(t, databaseURL, `revoke execute on function pg_advisory_lock_shared(integer, integer) from public`)
	w := newWorld(t, pgtest.NewUnreliable(t, databaseURL, "notifications").URL)
	s := w.service.Start(t)
	for range 3 {
		res, body := s.Readiness(t)
		if res.StatusCode != http.StatusServiceUnavailable || body != "not ready: deliveries\n" || res.Header.Get("Retry-After") == "" {
			t.Errorf("readiness: %d %q", res.StatusCode, body)
		}
	}
	const many = 100 // more than Herald accepts when deliveries lag
	for range many {
		create(t, s)
	}
	execSQL(t, databaseURL, `grant execute on function pg_advisory_lock_shared(integer, integer) to public`)
	s.AwaitReady(t)
	w.awaitMails(t, many)
	s.WantEnd(t)
}

// While the mail server hangs, Herald accepts more notifications than it works on at once.
func TestMailServerHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t, migrations.Up))
	var config net.ListenConfig
	silent, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	w.service.Set("SMTP_ADDR", silent.Addr().String())
	s := w.service.Start(t)
	accepted := 0
	for begun := time.Now(); accepted < 500 || time.Since(begun) < 3*time.Second; accepted++ {
		create(t, s)
	}
	if n := count(t, w.service.DatabaseURL, "notifications where status <> 'sent'"); n != accepted {
		t.Errorf("%d of %d notifications wait", n, accepted)
	}
	_ = silent.Close()
	s.WantEnd(t)
}
