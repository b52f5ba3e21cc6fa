package servicetest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/svcauth/keys"
)

// Overload says how to exceed the limit of requests in flight.
type Overload struct {
	// Lock is the lock that stops the requests, as in SQL: "users in access exclusive mode". Required.
	Lock string
	// Method, Path and Body are those of the requests. Required.
	Method, Path, Body string
	// Sent requests are sent, Limit of them are answered. Required.
	Sent, Limit int
	// Status is the status of the answer when the lock is released. Required.
	Status int
	// Beside are the statuses of GETs that are answered during the overload, by path. Nil: none.
	Beside map[string]int
}

// While the database does not answer, only a limited number of requests waits for it. The others
// are refused at once. The keys and the metrics are answered.
func (s Service) testOverload(t *testing.T) {
	o := s.Overload
	w := s.NewWorld(t, s.newDatabase(t))
	system := w.Start(t)
	unlock := lock(t, w.DatabaseURL, o.Lock)
	var refused, answered atomic.Int64
	var requests sync.WaitGroup
	var client *http.Client
	for i := range o.Sent {
		if i%100 == 0 { // as many streams as a connection may have
			client = system.newStreams(t)
		}
		r := system.NewRequest(t, o.Method, o.Path, o.Body)
		stream := client
		requests.Go(func() {
			switch res, body := exchange(t, stream, r); {
			case res.StatusCode == http.StatusServiceUnavailable && strings.Contains(body, "urn:svcauth:problem:overloaded"):
				refused.Add(1)
			case res.StatusCode == o.Status, res.StatusCode == http.StatusServiceUnavailable: // the latter when its time is over
				answered.Add(1)
			}
		})
	}
	beyond := int64(o.Sent - o.Limit)
	// On a slow machine, requests whose time is over make room for others.
	for end := time.Now().Add(30 * time.Second); refused.Load()+answered.Load() < beyond && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	s.testBesideOverload(t, system)
	early := answered.Load()
	unlock()
	requests.Wait()
	n := refused.Load()
	if n < max(beyond-early, beyond/2) || early == 0 && n > beyond || n+answered.Load() != int64(o.Sent) {
		t.Errorf("%d refused, %d answered, %d of them before the end of the overload", n, answered.Load(), early)
	}
	wantRefusals(t, system, fmt.Sprintf("%d\n", n))
	system.WantEnd(t)
}

// testBesideOverload sends the requests that are answered during the overload.
func (s Service) testBesideOverload(t *testing.T, system *System) {
	t.Helper()
	for path, status := range s.Overload.Beside {
		if res, body := system.Send(t, http.MethodGet, path, ""); res.StatusCode != status {
			t.Errorf("GET /%s: %d %s", path, res.StatusCode, body)
		}
	}
	jwks, err := http.NewRequestWithContext(t.Context(), http.MethodGet, system.World.URL+keys.JWKSPath, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if res, body := system.Do(t, jwks); res.StatusCode != http.StatusOK {
		t.Errorf("GET /%s: %d %s", keys.JWKSPath, res.StatusCode, body)
	}
	wantRefusals(t, system, "")
}

// wantRefusals checks the metric of the refused requests. count is the beginning of its value.
func wantRefusals(t *testing.T, system *System, count string) {
	t.Helper()
	want := fmt.Sprintf(`svcauth_calls_refused_total{check="admission",issuer=%q} %s`, system.World.Trust.Issuer.URL, count)
	if !strings.Contains(system.Metrics(t), want) {
		t.Errorf("no metric %s", want)
	}
}

// newStreams returns a client with one HTTP/2 connection.
func (s *System) newStreams(t *testing.T) *http.Client {
	t.Helper()
	roots, err := httpclient.LoadRoots(s.World.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		MaxConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Addr)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// lock takes a lock on a table and returns the function that releases it.
func lock(t *testing.T, databaseURL, target string) (unlock func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "begin; lock table "+target); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
