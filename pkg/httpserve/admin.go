package httpserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.com/micromachine/pkg/outage"
)

// checkTimeout bounds all checks of one readiness request together.
const checkTimeout = 2 * time.Second

// Check returns an error if something that a service needs is not available.
type Check func(ctx context.Context) error

// Readiness reports whether a service should be sent requests: it is not draining, and all its
// checks pass. It is safe for concurrent use.
type Readiness struct {
	checks   map[string]Check
	outages  map[string]*outage.Log // by check
	draining atomic.Bool
}

// NewReadiness returns a Readiness with checks by name. The names are part of the answer. The
// errors of failing checks are only logged: the first one, each one with another cause, and one a
// minute.
func NewReadiness(log *slog.Logger, checks map[string]Check) *Readiness {
	r := &Readiness{checks: checks, outages: map[string]*outage.Log{}}
	for name := range checks {
		r.outages[name] = outage.NewLog(log, name)
	}
	return r
}

// Drain makes the service not ready permanently.
func (r *Readiness) Drain() { r.draining.Store(true) }

// ServeHTTP answers 200, or 503 with the names of the failing checks.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.draining.Load() {
		answer(w, http.StatusServiceUnavailable, "draining")
		return
	}
	if failed := r.failing(req.Context()); len(failed) > 0 {
		answer(w, http.StatusServiceUnavailable, "not ready: "+strings.Join(failed, ", "))
		return
	}
	answer(w, http.StatusOK, "ready")
}

// failing returns the names of the checks that do not pass in time.
func (r *Readiness) failing(request context.Context) []string {
	ctx, cancel := context.WithTimeout(request, checkTimeout)
	defer cancel()
	results := map[string]chan error{}
	for name, check := range r.checks { // concurrently, so that a slow check does not delay the others
		result := make(chan error, 1)
		results[name] = result
		go func() { result <- check(ctx) }()
	}
	var failed []string
	for _, name := range slices.Sorted(maps.Keys(r.checks)) {
		err := <-results[name]
		if err != nil && request.Err() != nil {
			continue // the client has gone, so the error says nothing about the check
		}
		r.outages[name].Observe(ctx, err)
		if err != nil {
			failed = append(failed, name)
		}
	}
	return failed
}

// AdminHandler returns a handler for operators, on a listener that the public cannot reach. It
// serves /healthz (the process runs), /readyz, /metrics (of the Go runtime, the process and the
// collectors) and the profiles of net/http/pprof at /debug/pprof/.
func AdminHandler(ready *Readiness, metrics ...prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(metrics...)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /readyz", ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "healthy")
	})
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// Healthcheck requests /readyz from the admin server at addr, which has the form of Config.Addr. It
// returns nil if the service is ready. A server on all addresses is asked at a loopback address.
// Healthcheck is for the health check of a container. It gives up after 5 s.
func Healthcheck(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := dialable(addr)
	if err != nil {
		return fmt.Errorf("asking for readiness: %w", err)
	}
	// The URL has no address, because an address with a zone is not a valid host in a URL.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("asking for readiness: %w", err)
	}
	// The default client is not used, because it would use a proxy from the environment.
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialFirst(ctx, addrs) },
	}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking for readiness: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("asking for readiness: answered %s", res.Status)
	}
	return nil
}

// dialFirst connects to the first of the addresses that answers.
func dialFirst(ctx context.Context, addrs []string) (net.Conn, error) {
	var errs []error
	for _, addr := range addrs {
		conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// dialable returns the addresses at which a listener's address can be reached from this host. For a
// wildcard address these are loopback addresses: both, because a host may have only IPv4 or only
// IPv6.
func dialable(addr string) ([]string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	hosts := []string{host}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "":
		hosts = []string{"127.0.0.1", "::1"}
	case err != nil: // a name
	case ip.WithZone("") == netip.IPv6Unspecified():
		hosts = []string{"::1", "127.0.0.1"}
	case ip.IsUnspecified():
		hosts = []string{"127.0.0.1"}
	}
	var addrs []string
	for _, host := range hosts {
		addrs = append(addrs, net.JoinHostPort(host, port))
	}
	return addrs, nil
}
