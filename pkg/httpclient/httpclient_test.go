package httpclient_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/pkg/devca"
	"example.com/micromachine/pkg/httpclient"
)

// serveTLS serves HTTPS on a free port, with a certificate for name. It returns the address and the
// file of the certificate's authority.
func serveTLS(t *testing.T, name string, handler http.Handler) (addr, caFile string) {
	t.Helper()
	dir := t.TempDir()
	if _, err := devca.Make(devca.Config{Dir: dir, Hosts: []string{name}}); err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of failed handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), filepath.Join(dir, "ca.pem")
}

// The client verifies certificates against the host of the URL, wherever it connects, and follows
// no redirect.
func TestClient(t *testing.T) {
	t.Parallel()
	addr, caFile := serveTLS(t, "census.service", http.RedirectHandler("/elsewhere/", http.StatusFound))
	connectTo := "census.service:443:" + addr
	for _, tt := range []struct {
		name, caFile, connectTo, url string
		want                         string // of the error; empty: a redirect that is not followed
	}{
		{"name and authority fit", caFile, connectTo, "https://census.service/", ""},
		{"several rules", caFile, "shop.service:443:127.0.0.1:1, " + connectTo, "https://census.service/", ""},
		{"another name", caFile, "shop.service:443:" + addr, "https://shop.service/", "certificate is valid for census.service, not shop.service"},
		{"unknown authority", "", connectTo, "https://census.service/", "certificate signed by unknown authority"},
		{"name that is elsewhere", caFile, "", "https://" + addr, "x509: cannot validate certificate for 127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, err := httpclient.New(httpclient.Config{CAFile: tt.caFile, ConnectTo: tt.connectTo})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.CloseIdleConnections)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err == nil {
				res.Body.Close()
			}
			switch {
			case tt.want == "" && (err != nil || res.StatusCode != http.StatusFound):
				t.Errorf("%v, %v; want a redirect", res, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// Two bursts of requests use the same connections, at most 128 of them.
func TestConnectionsAreLimitedAndKept(t *testing.T) {
	t.Parallel()
	const burst = 300
	var mu sync.Mutex
	conns := map[string]bool{}
	addr, caFile := serveTLS(t, "census.service", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		conns[r.RemoteAddr] = true
		mu.Unlock()
		time.Sleep(10 * time.Millisecond) // so that requests overlap
	}))
	client, err := httpclient.New(httpclient.Config{CAFile: caFile, ConnectTo: "census.service:443:" + addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	for range 2 {
		var requests sync.WaitGroup
		for range burst {
			requests.Go(func() {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://census.service/", nil)
				if err != nil {
					t.Error(err)
					return
				}
				res, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
			})
		}
		requests.Wait()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(conns) > 128 {
		t.Errorf("%d connections", len(conns))
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		config httpclient.Config
		want   string
	}{
		{httpclient.Config{CAFile: filepath.Join(dir, "gone.pem")}, "gone.pem"},
		{httpclient.Config{CAFile: filepath.Join(dir, "ca.pem")}, "no certificate in " + filepath.Join(dir, "ca.pem")},
		{httpclient.Config{ConnectTo: "census.service"}, `"census.service" is not of the form`},
		{httpclient.Config{ConnectTo: "census.service:443:localhost"}, `"census.service:443:localhost" is not of the form`},
		{httpclient.Config{ConnectTo: "a:1:b:2,"}, `"" is not of the form`},
		{httpclient.Config{ConnectTo: "::b:2"}, `"::b:2" is not of the form`},
	} {
		if _, err := httpclient.New(tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}
