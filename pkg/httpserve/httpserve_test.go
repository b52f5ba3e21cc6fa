package httpserve_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpserve"
)

func TestListenRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	files, others := newPair(t), newPair(t)
	for _, test := range []struct {
		name   string
		config httpserve.Config
		want   string
	}{
		{"address taken", httpserve.Config{Addr: taken.Addr().String(), Handler: textHandler("")}, "address already in use"},
		{"no handler", httpserve.Config{Addr: "127.0.0.1:0"}, "no handler"},
		{"no key", httpserve.Config{Addr: "127.0.0.1:0", Handler: textHandler(""), CertFile: files.cert}, "loading certificate"},
		{"no certificate", httpserve.Config{Addr: "127.0.0.1:0", Handler: textHandler(""), KeyFile: files.key}, "loading certificate"},
		{"key of another certificate", httpserve.Config{Addr: "127.0.0.1:0", Handler: textHandler(""), CertFile: files.cert, KeyFile: others.key}, "does not match"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, err := httpserve.Listen(test.config)
			if err == nil {
				server.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q in it", err, test.want)
			}
		})
	}
}

func TestCloseFreesThePort(t *testing.T) {
	t.Parallel()
	server, err := httpserve.Listen(httpserve.Config{Addr: "127.0.0.1:0", Handler: textHandler("")})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if conn, err := net.Dial("tcp", server.Addr().String()); err == nil {
		conn.Close()
		t.Error("the listener is still open")
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	files := newPair(t)
	server := start(t, httpserve.Config{Handler: textHandler("hello"), CertFile: files.cert, KeyFile: files.key})
	for _, test := range []struct {
		name       string
		max        uint16
		protocols  []string
		version    uint16 // 0: refused
		negotiated string
	}{
		{"1.3 with HTTP/2", tls.VersionTLS13, []string{"h2", "http/1.1"}, tls.VersionTLS13, "h2"},
		{"1.2 with HTTP/1.1", tls.VersionTLS12, []string{"http/1.1"}, tls.VersionTLS12, "http/1.1"},
		{"1.1", tls.VersionTLS11, nil, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := files.clientConfig()
			config.MinVersion, config.MaxVersion, config.NextProtos = tls.VersionTLS10, test.max, test.protocols
			conn, err := tls.Dial("tcp", server.Addr().String(), config)
			if err != nil {
				if test.version != 0 {
					t.Fatalf("handshake: %v", err)
				}
				return
			}
			defer conn.Close()
			state := conn.ConnectionState()
			if state.Version != test.version || state.NegotiatedProtocol != test.negotiated {
				t.Errorf("%s, protocol %q", tls.VersionName(state.Version), state.NegotiatedProtocol)
			}
		})
	}
}

// serial returns the serial number of the certificate that a new connection gets.
func serial(t *testing.T, server *running, config *tls.Config) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", server.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificateReload(t *testing.T) {
	t.Parallel()
	files := newPair(t)
	var log logBuffer
	server := start(t, httpserve.Config{Handler: textHandler(""), CertFile: files.cert, KeyFile: files.key, Logger: log.logger()})
	shown := func(want int64) func() bool {
		return func() bool { return serial(t, server, files.clientConfig()) == want }
	}
	if !shown(1)() {
		t.Fatal("the first certificate is not shown")
	}
	files.write(t, 2)
	eventually(t, "the second certificate", shown(2))

	replace(t, files.cert, []byte("not a certificate"))
	eventually(t, "a log line about the bad file", func() bool {
		if !shown(2)() {
			t.Fatal("the second certificate is no longer shown")
		}
		return strings.Contains(log.String(), "keeping the old one")
	})
	if err := os.Remove(files.key); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a log line about the missing file", func() bool {
		if !shown(2)() {
			t.Fatal("the second certificate is no longer shown")
		}
		return strings.Count(log.String(), "keeping the old one") == 2
	})

	files.write(t, 3)
	eventually(t, "the third certificate", shown(3))
	if n := strings.Count(log.String(), "keeping the old one"); n > 3 {
		t.Errorf("logged %d times for two changes:\n%s", n, &log)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	server := start(t, httpserve.Config{Handler: textHandler("hello"), ReadHeaderTimeout: 100 * time.Millisecond})
	for _, test := range []struct{ name, request, want string }{
		{"a token fits", "GET / HTTP/1.1\r\nHost: x\r\nJWT: " + strings.Repeat("a", 8<<10) + "\r\n\r\n", "200 OK"},
		{"headers too large", "GET / HTTP/1.1\r\nHost: x\r\nJWT: " + strings.Repeat("a", 32<<10) + "\r\n\r\n", "431 Request Header Fields Too Large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, server)
			fmt.Fprint(conn, test.request)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.Status != test.want {
				t.Errorf("status %s, want %s", res.Status, test.want)
			}
		})
	}
	t.Run("headers too slow", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, server)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost:")
		if answer, err := io.ReadAll(conn); err != nil {
			t.Errorf("the connection was not closed: %v, %q", err, answer)
		}
	})
}

func dial(t *testing.T, server *running) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestRunFailsWithEither(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"public", "admin"} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			servers := map[string]*httpserve.Server{}
			for _, name := range []string{"public", "admin"} {
				server, err := httpserve.Listen(httpserve.Config{Addr: "127.0.0.1:0", Handler: textHandler(""), DrainDelay: time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				servers[name] = server
			}
			servers[broken].Close() // its Serve fails at once
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := httpserve.Run(ctx, servers["public"], servers["admin"])
			if err == nil || ctx.Err() != nil {
				t.Errorf("Run: %v, context %v", err, ctx.Err())
			}
		})
	}
}

// A TLS key that other users can read or change is refused at the start.
func TestTLSKeyReadableByOthers(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o644, 0o604, 0o620, 0o602, 0o666} {
		files := newPair(t)
		if err := os.Chmod(files.key, mode); err != nil {
			t.Fatal(err)
		}
		_, err := httpserve.Listen(httpserve.Config{
			Addr: "127.0.0.1:0", CertFile: files.cert, KeyFile: files.key, Handler: http.NotFoundHandler(),
		})
		if err == nil || !strings.Contains(err.Error(), files.key) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%04o: %v", mode, err)
		}
	}
}
