package httpserve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpserve"
)

// stops is the number of times that TestStops stops a server under load.
const stops = 30

// A loadKind is one way in which clients send requests.
type loadKind struct {
	name      string
	http2     bool
	keepAlive bool
}

// Servers are stopped under load from clients of every kind. A client may be refused a new
// connection, also when it sends again a request that the server, by HTTP/2, has not begun. No
// other request fails, and no request that a handler has seen.
func TestStops(t *testing.T) {
	t.Parallel()
	files := newPair(t)
	for range stops {
		stopUnderLoad(t, files, []loadKind{
			{"HTTP/1.1, kept connections", false, true},
			{"HTTP/1.1, new connections", false, false},
			{"HTTP/2", true, true},
		})
		if t.Failed() {
			return
		}
	}
}

func stopUnderLoad(t *testing.T, files pair, kinds []loadKind) {
	t.Helper()
	const clients, linger = 4, 100 * time.Millisecond
	var seen, answered sync.Map
	var count atomic.Int64
	server := start(t, httpserve.Config{
		CertFile: files.cert, KeyFile: files.key, DrainDelay: 5 * time.Millisecond, Linger: linger,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return // the request has not arrived in full
			}
			seen.Store(r.Header.Get("Id"), true)
			n := count.Add(1)
			time.Sleep(time.Duration(n%7) * 3 * time.Millisecond)
			if n%15 == 0 {
				time.Sleep(time.Duration(n%4) * linger) // some answers end after the linger
			}
			_, _ = w.Write(append(body, r.Header.Get("Id")...))
		}),
	})
	var load sync.WaitGroup
	var transports []*http.Transport
	for _, kind := range kinds {
		transport := &http.Transport{
			TLSClientConfig: files.clientConfig(), ForceAttemptHTTP2: kind.http2, MaxIdleConnsPerHost: clients,
			DisableKeepAlives: !kind.keepAlive,
		}
		transports = append(transports, transport)
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		for c := range clients {
			load.Go(func() {
				for n := 0; ; n++ {
					id := fmt.Sprintf("%s, client %d, request %d", kind.name, c, n)
					var sent atomic.Bool
					err := send(onSent(t.Context(), &sent), client, "https://"+server.Addr().String(), id, n%2 == 0, kind.http2)
					if err != nil && (!sent.Load() || errors.Is(err, syscall.ECONNREFUSED)) {
						return
					}
					if err != nil {
						t.Errorf("%s: %v", id, err)
						return
					}
					answered.Store(id, true)
				}
			})
		}
	}
	eventually(t, "load", func() bool { return count.Load() >= 60 })
	if err := server.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	load.Wait()
	for _, transport := range transports {
		transport.CloseIdleConnections()
	}
	seen.Range(func(id, _ any) bool {
		if _, ok := answered.Load(id); !ok {
			t.Errorf("%s: reached the server and was not answered", id)
		}
		return true
	})
}

// onSent returns a context for a request. It sets sent as soon as the request begins to be written
// to a connection.
func onSent(ctx context.Context, sent *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { sent.Store(true) },
	})
}

// send sends one request, with a body or without. If again is set, the client can send the body a
// second time. This is safe only over HTTP/2, whose GOAWAY tells which requests were not begun.
func send(ctx context.Context, client *http.Client, url, id string, withBody, again bool) error {
	method, want := http.MethodGet, ""
	var body io.Reader
	if withBody {
		method, want = http.MethodPost, strings.Repeat("body ", 1000)
		body = strings.NewReader(want)
		if !again {
			body = io.NopCloser(body)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Id", id)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if string(got) != want+id {
		return fmt.Errorf("answer %.40q", got)
	}
	return nil
}

// A draining server adds "Connection: close" to an answer when its header is written, even if the
// request began before the drain.
func TestDrainClosesConnectionWithEveryAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(w http.ResponseWriter){
		"nothing": func(http.ResponseWriter) {},
		"header":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		"body":    func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") },
		"flush":   func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"flush by controller": func(w http.ResponseWriter) {
			_ = http.NewResponseController(w).Flush()
		},
		"copy": func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("hello")) },
	} {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, early hints %v", name, early), func(t *testing.T) {
				t.Parallel()
				checkLastAnswer(t, early, answer)
			})
		}
	}
}

// checkLastAnswer checks an answer that is begun before the drain and written during it.
func checkLastAnswer(t *testing.T, early bool, answer func(w http.ResponseWriter)) {
	t.Helper()
	entered, release := make(chan struct{}), make(chan struct{})
	server := start(t, httpserve.Config{
		DrainDelay: time.Millisecond,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if early {
				w.WriteHeader(http.StatusEarlyHints)
			}
			close(entered)
			<-release
			answer(w)
		}),
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	answered := make(chan error, 1)
	go func() {
		res, err := client.Get("http://" + server.Addr().String())
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if !res.Close {
				err = errors.Join(err, errors.New("the answer is without Connection: close"))
			}
		}
		answered <- err
	}()
	<-entered
	server.stop()
	eventually(t, "the listener is closed", func() bool { return closed(server.Addr()) })
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := <-server.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// An answer whose header was written before the drain is without "Connection: close". However late
// it ends, the client has time for another request, whose answer has it.
func TestDrainLingersAfterLateAnswers(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	var requests atomic.Int32
	server := start(t, httpserve.Config{
		DrainDelay: time.Millisecond, Linger: 100 * time.Millisecond,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if requests.Add(1) > 1 {
				return
			}
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			close(entered)
			<-release
		}),
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	post := func() (*http.Response, error) {
		return client.Post("http://"+server.Addr().String(), "text/plain", io.NopCloser(strings.NewReader("body")))
	}
	first, err := post()
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	server.stop()
	eventually(t, "the listener is closed", func() bool { return closed(server.Addr()) })
	time.Sleep(300 * time.Millisecond) // longer than the linger
	close(release)
	if _, err := io.Copy(io.Discard, first.Body); err != nil {
		t.Fatal(err)
	}
	first.Body.Close()
	second, err := post()
	if err != nil {
		t.Fatal(err)
	}
	second.Body.Close()
	if !second.Close {
		t.Error("the answer is without Connection: close")
	}
	if err := <-server.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// Connections that are in the accept queue of the kernel when the drain begins are served like
// others.
func TestDrainEmptiesTheAcceptQueue(t *testing.T) {
	t.Parallel()
	const queued = 50
	server, err := httpserve.Listen(httpserve.Config{Addr: "127.0.0.1:0", Handler: textHandler("hello"), DrainDelay: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range queued {
		conn, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		conns = append(conns, conn)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	for i, conn := range conns {
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
			t.Errorf("connection %d: %q, %v", i, answer, err)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A draining server waits for a request whose header or body is still being sent.
func TestDrainWaitsForSlowSenders(t *testing.T) {
	t.Parallel()
	server := start(t, httpserve.Config{
		DrainDelay: time.Millisecond, Linger: 200 * time.Millisecond,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }),
	})
	conn := dial(t, server)
	server.stop()
	for _, piece := range []string{"POST / HTTP/1.1\r\n", "Host: x\r\n", "Content-Length: 6\r\n", "\r\n", "abc", "def"} {
		fmt.Fprint(conn, piece)
		time.Sleep(120 * time.Millisecond)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(answer), "abcdef") || !strings.Contains(string(answer), "Connection: close") {
		t.Errorf("answer %q, %v", answer, err)
	}
	if err := <-server.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
