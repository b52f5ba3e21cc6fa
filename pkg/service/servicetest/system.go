package servicetest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/service"
)

// System is a service that runs.
type System struct {
	// World is the service's environment.
	World *World
	// Addr and AdminAddr are the addresses of the listeners.
	Addr, AdminAddr string
	// Stop stops the service.
	Stop context.CancelFunc

	ended <-chan error
}

// Start runs serve and returns when it listens. It is stopped when the test ends.
func (w *World) Start(t *testing.T) *System {
	t.Helper()
	log, stderr := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := &System{World: w, Stop: stop, ended: ended}
	go func() {
		err := service.Run(ctx, w.Define(), []string{"serve"}, w.Environ, io.Discard, stderr)
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
			s.Addr, s.AdminAddr = line.Addr, line.AdminAddr
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return s
		}
	}
	t.Fatalf("it ended instead of listening: %v", <-ended)
	return nil
}

// WantEnd stops the service and fails the test unless it stops in order within 30 s.
func (s *System) WantEnd(t *testing.T) {
	t.Helper()
	s.Stop()
	if err := s.awaitEnd(t); err != nil {
		t.Errorf("serve ended with %v", err)
	}
}

// awaitEnd returns the error of serve when it ends, which must be within 30 s.
func (s *System) awaitEnd(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(30 * time.Second):
		t.Error("serve does not end")
		return nil
	}
}

// Admin returns the environment of a healthcheck of the service.
func (s *System) Admin() []string {
	return []string{variable(s.World.Define, "ADMIN_LISTEN") + "=" + s.AdminAddr}
}

// NewRequest returns a signed request. An empty body is none.
func (s *System) NewRequest(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.World.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body, r.ContentLength, r.GetBody = nil, 0, nil
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	s.World.Trust.Issuer.Sign(t, r, s.World.URL, s.World.Subject)
	return r
}

// Do sends a request on a connection of its own and returns the answer with its body. A request
// without an answer fails the test and has the status 0. Do can be called by any goroutine.
func (s *System) Do(t *testing.T, r *http.Request) (res *http.Response, body string) {
	t.Helper()
	base, err := url.Parse(s.World.URL)
	if err != nil {
		t.Error(err)
		return &http.Response{}, ""
	}
	client, err := httpclient.New(httpclient.Config{
		CAFile: s.World.CAFile, ConnectTo: base.Hostname() + ":443:" + s.Addr,
	})
	if err != nil {
		t.Error(err)
		return &http.Response{}, ""
	}
	defer client.CloseIdleConnections()
	return exchange(t, client, r)
}

// Send sends a signed request and returns the answer with its body.
func (s *System) Send(t *testing.T, method, path, body string) (res *http.Response, answer string) {
	t.Helper()
	return s.Do(t, s.NewRequest(t, method, path, body))
}

// Create sends a signed POST that must be answered 201, and returns the path of what it created.
func (s *System) Create(t *testing.T, path, body string) (created string) {
	t.Helper()
	res, answer := s.Send(t, http.MethodPost, path, body)
	var resource struct{ URI string }
	if err := json.Unmarshal([]byte(answer), &resource); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("POST: %d %s", res.StatusCode, answer)
	}
	return strings.TrimPrefix(resource.URI, s.World.URL)
}

// exchange sends a request and returns the answer with its body.
func exchange(t *testing.T, client *http.Client, r *http.Request) (res *http.Response, body string) {
	t.Helper()
	res, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return &http.Response{}, ""
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res, string(content)
}
