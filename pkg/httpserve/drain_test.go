package httpserve_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpserve"
)

// During a drain, a connection that was idle when it began gets an answer to one more request. The
// answer asks the client to close the connection.
func TestDrainAnswersKeptAliveConnections(t *testing.T) {
	t.Parallel()
	ready := httpserve.NewReadiness((&logBuffer{}).logger(), nil)
	server := start(t, httpserve.Config{
		Handler: textHandler("hello"), Readiness: ready, DrainDelay: 10 * time.Millisecond, Linger: 10 * time.Second,
	})
	conn := dial(t, server)
	reader := bufio.NewReader(conn)
	lastAnswer := func() bool {
		t.Helper()
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("reading answer: %v", err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || string(body) != "hello" {
			t.Fatalf("body %q, %v", body, err)
		}
		return res.Close
	}
	if lastAnswer() {
		t.Error("the connection is not kept before the drain")
	}
	server.stop()
	eventually(t, "the listener is closed", func() bool { return closed(server.Addr()) })
	if status, _ := get(ready, "/"); status != 503 {
		t.Error("ready though the listener is closed")
	}
	if !lastAnswer() {
		t.Error("the answer is without Connection: close")
	}
	if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is not closed after its last answer: %v", err)
	}
	if err := <-server.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestDrainWaitsForSlowRequests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		grace time.Duration
		fails bool
	}{{"within the grace", 10 * time.Second, false}, {"beyond the grace", 50 * time.Millisecond, true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			entered, release := make(chan struct{}), make(chan struct{})
			server := start(t, httpserve.Config{
				DrainDelay: time.Millisecond, Linger: time.Millisecond, Grace: test.grace,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					close(entered)
					select {
					case <-release:
						w.Write([]byte("done"))
					case <-r.Context().Done():
					}
				}),
			})
			answered := request(t, server.Addr())
			<-entered
			server.stop()
			if test.fails {
				if err := <-server.ended; !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Serve: %v, want the deadline's error", err)
				}
				if err := <-answered; err == nil {
					t.Error("the request was answered before it was released")
				}
				return
			}
			eventually(t, "the listener is closed", func() bool { return closed(server.Addr()) })
			close(release)
			if err := <-answered; err != nil {
				t.Errorf("request in flight: %v", err)
			}
			if err := <-server.ended; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

// During a drain under load from clients that keep their connections, the only requests that fail
// are those whose connection is refused. With HTTP/2 the GOAWAY tells a client which of its
// requests were not begun, so that it may send them again. With HTTP/1.1 no request is sent again.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			const clients, before = 12, 600
			files := newPair(t)
			var arrived sync.Map
			var count atomic.Int64
			enough := make(chan struct{})
			server := start(t, httpserve.Config{
				CertFile: files.cert, KeyFile: files.key, DrainDelay: 50 * time.Millisecond,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return // the request has not arrived in full
					}
					arrived.Store(string(body), r.Proto)
					if count.Add(1) == before {
						close(enough)
					}
					<-time.After(time.Duration(count.Load()%5) * time.Millisecond)
					w.Write(body)
				}),
			})
			transport := &http.Transport{
				TLSClientConfig: files.clientConfig(), ForceAttemptHTTP2: protocol == "HTTP/2.0", MaxIdleConnsPerHost: clients,
			}
			t.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
			var answered sync.Map
			var load sync.WaitGroup
			for c := range clients {
				load.Go(func() {
					for n := 0; ; n++ {
						id := fmt.Sprintf("%d-%d", c, n)
						var body io.Reader = strings.NewReader(id)
						if protocol == "HTTP/1.1" {
							body = io.NopCloser(body) // so that the transport cannot send it again
						}
						err := echo(client, "https://"+server.Addr().String(), id, body)
						var dialErr *net.OpError
						switch {
						case err == nil:
							answered.Store(id, true)
						case errors.As(err, &dialErr) && dialErr.Op == "dial":
							return // the listener is closed
						default:
							t.Errorf("request %s: %v", id, err)
							return
						}
					}
				})
			}
			<-enough
			if err := server.end(); err != nil {
				t.Errorf("Serve: %v", err)
			}
			load.Wait()
			arrived.Range(func(id, proto any) bool {
				if _, ok := answered.Load(id); !ok {
					t.Errorf("request %v reached the server and failed", id)
				}
				if proto != protocol {
					t.Errorf("request %v came by %v", id, proto)
				}
				return true
			})
			t.Logf("%d requests, %d of them after the drain began", count.Load(), count.Load()-before)
		})
	}
}

// echo posts body, and returns an error unless the answer is the same.
func echo(client *http.Client, url, want string, body io.Reader) error {
	res, err := client.Post(url, "text/plain", body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("answer %q", got)
	}
	return nil
}
