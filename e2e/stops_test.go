package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/svcauth"
)

// A loadCall is a call that the load repeats, with the expected status.
type loadCall struct{ method, url, body, want string }

// TestStopsUnderLoad stops each service under load, over HTTP/1.1 and HTTP/2, with and without
// request bodies. No request that was sent may fail. The exception is a request that HTTP/2 reports
// as not processed, when no server accepts connections any more.
func TestStopsUnderLoad(t *testing.T) {
	_, shop, office := callers(t)
	for _, tt := range []struct {
		service, audience string
		caller            *stack.Caller
		calls             []loadCall
	}{
		{"herald", stack.HeraldURL, shop, []loadCall{
			{http.MethodPost, notifications, `{"user":"https://census.service/user/42/","type":"no-such-message"}`, "422"},
			{http.MethodGet, notifications + "01a20bb9-3a6d-7bc9-a154-2ff397d2f519/", "", "404"},
		}},
		{"census", stack.CensusURL, office, []loadCall{
			{http.MethodGet, stack.CensusUser.URI(), "", "200"},
			{http.MethodPut, stack.CensusUser.URI() + "viewer/21/", "", "204"},
		}},
	} {
		t.Run(tt.service, func(t *testing.T) {
			restore(t, tt.service)
			for range 3 {
				if err := sys.start(t.Context(), tt.service); err != nil {
					t.Fatal(err)
				}
				stopUnderLoad(t, tt.service, tt.caller, tt.audience, tt.calls)
			}
		})
	}
}

func stopUnderLoad(t *testing.T, service string, caller *stack.Caller, audience string, calls []loadCall) {
	t.Helper()
	ctx, cancel := context.WithTimeout(svcauth.ActFor(t.Context(), stack.CensusUser.Subject()), time.Minute)
	defer cancel()
	var load sync.WaitGroup
	var clients []*http.Client
	var count [2]atomic.Int64
	for protocol := range count {
		client, err := caller.Client(audience, protocol == 1)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, client)
		for worker := range 4 {
			load.Go(func() {
				for n := worker; ctx.Err() == nil; n++ {
					var sent atomic.Bool
					ctx := onSent(ctx, &sent)
					if protocol == 1 { // a further try means that the one before was not processed
						ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { sent.Store(false) }})
					}
					err := calls[n%len(calls)].do(ctx, client)
					if err != nil && (!sent.Load() || errors.Is(err, syscall.ECONNREFUSED)) {
						return
					}
					if err != nil {
						t.Errorf("a request that reached %s failed: %v", service, err)
						return
					}
					count[protocol].Add(1)
				}
			})
		}
	}
	await(t, "load", 30*time.Second, func() bool { return count[0].Load() >= 100 && count[1].Load() >= 100 })
	if err := sys.stop(t.Context(), service); err != nil {
		t.Error(err)
	}
	load.Wait()
	for _, client := range clients {
		client.CloseIdleConnections()
	}
	t.Logf("%d answers over HTTP/1.1, %d over HTTP/2", count[0].Load(), count[1].Load())
}

// do sends the call and checks the response.
func (c loadCall) do(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(res.Status, c.want) {
		return fmt.Errorf("answered %s, not %s: %s", res.Status, c.want, body)
	}
	return nil
}
