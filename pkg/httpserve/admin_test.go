package httpserve_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpserve"
)

func get(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestAdminHandler(t *testing.T) {
	t.Parallel()
	var log logBuffer
	var databaseErr, censusErr error
	ready := httpserve.NewReadiness(log.logger(), map[string]httpserve.Check{
		"database": func(context.Context) error { return databaseErr },
		"census":   func(context.Context) error { return censusErr },
	})
	admin := httpserve.AdminHandler(ready)
	expect := func(path string, status int, body string) {
		t.Helper()
		if gotStatus, got := get(admin, path); gotStatus != status || got != body {
			t.Errorf("%s: %d %q, want %d %q", path, gotStatus, got, status, body)
		}
	}

	expect("/readyz", 200, "ready")
	databaseErr = errors.New("secret address refused")
	expect("/readyz", 503, "not ready: database")
	censusErr = errors.New("gone")
	expect("/readyz", 503, "not ready: census, database")
	expect("/healthz", 200, "healthy")
	if !strings.Contains(log.String(), "secret address refused") {
		t.Errorf("the cause is not logged: %s", &log)
	}
	databaseErr, censusErr = nil, nil
	expect("/readyz", 200, "ready")
	ready.Drain()
	expect("/readyz", 503, "draining")
	expect("/healthz", 200, "healthy")
}

func TestReadinessBoundsItsChecks(t *testing.T) {
	t.Parallel()
	ready := httpserve.NewReadiness((&logBuffer{}).logger(), map[string]httpserve.Check{
		"hanging": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	})
	started := time.Now()
	if status, body := get(ready, "/"); status != 503 || body != "not ready: hanging" {
		t.Errorf("%d %q", status, body)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	ready := httpserve.NewReadiness((&logBuffer{}).logger(), nil)
	server := start(t, httpserve.Config{Handler: httpserve.AdminHandler(ready)})
	_, port, err := net.SplitHostPort(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	addrs := []string{server.Addr().String(), ":" + port, "0.0.0.0:" + port}
	for _, addr := range addrs {
		if err := httpserve.Healthcheck(t.Context(), addr); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	ready.Drain()
	if err := httpserve.Healthcheck(t.Context(), addrs[0]); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("draining: %v", err)
	}
	server.end()
	for _, addr := range []string{addrs[0], "no port", "[::1"} {
		if err := httpserve.Healthcheck(t.Context(), addr); err == nil {
			t.Errorf("%s: no error without a server", addr)
		}
	}
}

// The listener's address may be an IPv6 address, with a zone too, or a wildcard of either kind.
func TestHealthcheckByIPv6(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	ready := httpserve.NewReadiness((&logBuffer{}).logger(), nil)
	for _, host := range append(zoned(t), "[::1]", "[::1%lo]", "[::]", "[::%lo]", "0.0.0.0", "", "localhost", "[0:0:0:0:0:0:0:1]") {
		server := listenOn(t, host+":0", httpserve.AdminHandler(ready))
		_, port, err := net.SplitHostPort(server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := httpserve.Healthcheck(t.Context(), host+":"+port); err != nil {
			t.Errorf("%s: %v", server.Addr(), err)
		}
	}
}

// zoned returns a host that is a link-local address of this machine, if there is one.
func zoned(t *testing.T) []string {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it is gone by now
		}
		for _, addr := range addrs {
			ip, ok := addr.(*net.IPNet)
			if !ok || ip.IP.To4() != nil || !ip.IP.IsLinkLocalUnicast() {
				continue
			}
			host := "[" + ip.IP.String() + "%" + i.Name + "]"
			if listener, err := net.Listen("tcp", host+":0"); err == nil {
				listener.Close()
				return []string{host}
			}
		}
	}
	return nil
}

// needIPv6 skips a test on a machine that has no IPv6.
func needIPv6(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6: ", err)
	}
	listener.Close()
}

// listenOn serves a handler on an address.
func listenOn(t *testing.T, addr string, handler http.Handler) *httpserve.Server {
	t.Helper()
	server, err := httpserve.Listen(httpserve.Config{Addr: addr, Handler: handler, DrainDelay: time.Millisecond, Linger: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return server
}

// The admin server reports that the public server is draining while that lasts.
func TestRunEndsAdminServerLast(t *testing.T) {
	t.Parallel()
	ready := httpserve.NewReadiness((&logBuffer{}).logger(), nil)
	entered, release := make(chan struct{}), make(chan struct{})
	public, err := httpserve.Listen(httpserve.Config{
		Addr: "127.0.0.1:0", Readiness: ready, DrainDelay: time.Millisecond,
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-release }),
	})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := httpserve.Listen(httpserve.Config{Addr: "127.0.0.1:0", Handler: httpserve.AdminHandler(ready)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- httpserve.Run(ctx, public, admin) }()

	answered := request(t, public.Addr())
	<-entered
	stop()
	eventually(t, "the public listener is closed", func() bool { return closed(public.Addr()) })
	if err := httpserve.Healthcheck(t.Context(), admin.Addr().String()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("while draining: %v, want 503", err)
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("request in flight: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := httpserve.Healthcheck(t.Context(), admin.Addr().String()); err == nil {
		t.Error("the admin listener outlives Run")
	}
}
