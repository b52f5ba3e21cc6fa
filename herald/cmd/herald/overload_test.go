package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/httpclient"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth/keys"
)

// While the database stores nothing, no more than 256 POSTs wait for it. The others are refused at once; reads have a
// limit of their own.
func TestOverload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t, migrations.Up))
	s := w.start(t)
	unlock := lock(t, w.databaseURL, "notifications", "share")
	const sent, limit = 300, 256
	var refused, answered atomic.Int64
	var requests sync.WaitGroup
	var client *http.Client
	for i := range sent {
		if i%100 == 0 { // as many streams as a connection may have
			client = newStreams(t, s.file("tls.pem"), s.addr)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, name+"notification/", strings.NewReader(welcome))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		s.shop.Sign(t, r, name, reader)
		stream := client
		requests.Go(func() {
			switch status, body := exchange(t, stream, r); {
			case status == http.StatusServiceUnavailable && strings.Contains(body, "urn:svcauth:problem:overloaded"):
				refused.Add(1)
			case status == http.StatusCreated, status == http.StatusServiceUnavailable: // the latter when its time is over
				answered.Add(1)
			}
		})
	}
	for end := time.Now().Add(8 * time.Second); refused.Load() < sent-limit && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if status, body := s.send(t, http.MethodGet, "notification/00000000-0000-0000-0000-000000000000/", ""); status != http.StatusNotFound {
		t.Errorf("GET of a notification: %d %s", status, body)
	}
	if status, body := s.send(t, http.MethodGet, keys.JWKSPath, ""); status != http.StatusOK {
		t.Errorf("GET /%s: %d %s", keys.JWKSPath, status, body)
	}
	unlock()
	requests.Wait()
	if refused.Load() != sent-limit || answered.Load() != limit {
		t.Errorf("%d refused, %d answered", refused.Load(), answered.Load())
	}
	s.wantEnd(t)
}

// newStreams returns a client with one HTTP/2 connection.
func newStreams(t *testing.T, caFile, addr string) *http.Client {
	t.Helper()
	roots, err := httpclient.LoadRoots(caFile)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		MaxConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func exchange(t *testing.T, client *http.Client, r *http.Request) (status int, body string) {
	t.Helper()
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

// lock locks a table until the function that it returns is called.
func lock(t *testing.T, databaseURL, table, mode string) (unlock func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "begin; lock table "+table+" in "+mode+" mode"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
