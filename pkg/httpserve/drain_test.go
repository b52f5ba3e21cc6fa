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

// A request that is in flight when the drain begins, and one more on a connection that was waiting
// then, are both answered.
func TestDrainAnswersKeptAliveConnections(t *testing.T) {
	t.Parallel()
	ready := httpserve.NewReadiness((&logBuffer{}).logger(), nil)
	server := start(t, httpserve.Config{
		Handler: say("hello"), Readiness: ready, DrainDelay: 10 * time.Millisecond, Linger: 10 * time.Second,
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
		t.Error("the client is not asked to leave")
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
					t.Error("the request was answered though nobody released it")
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

// Under load from clients that keep their connections, no request may fail but by not being let in.
// With HTTP/2 the GOAWAY tells a client which of its requests were not begun, and it may send those
// again; with HTTP/1.1 no second try is allowed for.
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
						return // has not reached us in full
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
							body = io.NopCloser(body) // which the transport cannot send again
						}
						err := echo(client, "https://"+server.Addr().String(), id, body)
						var dialErr *net.OpError
						switch {
						case err == nil:
							answered.Store(id, true)
						case errors.As(err, &dialErr) && dialErr.Op == "dial":
							return // not let in: the listener is closed
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

// echo posts body and expects it back.
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
