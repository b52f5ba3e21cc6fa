package svcauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

// http2SigningClient returns a client that speaks HTTP/2 and signs its calls to Census.
func (s *tlsServer) http2SigningClient(t *testing.T) *http.Client {
	t.Helper()
	base := s.client(t).Transport.(*http.Transport)
	base.ForceAttemptHTTP2 = true
	transport, err := svcauth.NewTransport(svcauth.TransportConfig{Signer: newSigner(t, nil), Audience: census, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: transport}
}

// A server that stops tells its HTTP/2 clients which requests it has not begun. They are sent
// again, each with a new token, whatever their method and body.
func TestTransportResendsAfterGoAway(t *testing.T) {
	t.Parallel()
	const clients = 16
	var tokens sync.Map
	var answered, requests atomic.Int64
	server := newTLSServer(t, "census.service", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("%s", r.Proto)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if _, again := tokens.LoadOrStore(r.Header.Get(svcauth.Header), true); again {
			t.Error("a token came twice")
		}
		if requests.Add(1)%40 == 0 {
			w.Header().Set("Connection", "close") // net/http sends a GOAWAY
		}
		_, _ = fmt.Fprint(w, r.Method, " ", len(body))
	}))
	client := server.http2SigningClient(t)
	var load sync.WaitGroup
	for c := range clients {
		load.Go(func() {
			for n := range 60 {
				method, body := []string{"POST", "DELETE", "PUT"}[n%3], strings.Repeat("x", n%2*20_000)
				req := newUserRequest(t, method, census+"user/", body)
				res, err := client.Do(req)
				if err != nil {
					t.Errorf("client %d, %s with %d bytes: %v", c, method, len(body), err)
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if want := fmt.Sprint(method, " ", len(body)); err != nil || string(got) != want {
					t.Errorf("answer %q, %v; want %q", got, err, want)
				}
				answered.Add(1)
			}
		})
	}
	load.Wait()
	if answered.Load() != clients*60 {
		t.Errorf("%d answers", answered.Load())
	}
}

// errResend is the error of a resender for a request without GetBody.
var errResend = errors.New("not begun: may be sent again")

// A resender is a base transport that does what net/http does when the server has not begun a
// request: it reads the body, and then asks for the body again.
type resender struct {
	refusals int
	seen     []*http.Request
	bodies   []string
	closed   int
}

func (b *resender) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	b.closed++
	b.seen, b.bodies = append(b.seen, r), append(b.bodies, string(body))
	if err := r.Body.Close(); err != nil {
		return nil, err
	}
	if len(b.seen) > b.refusals {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	}
	if r.GetBody == nil {
		return nil, errResend
	}
	if _, err := r.GetBody(); err != nil {
		return nil, fmt.Errorf("sending again: %w", err)
	}
	return nil, errors.New("the transport allows its token to be sent twice")
}

func newResending(t *testing.T, base http.RoundTripper) *svcauth.Transport {
	t.Helper()
	transport, err := svcauth.NewTransport(svcauth.TransportConfig{Signer: newSigner(t, nil), Audience: census, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	return transport
}

func TestTransportSignsEachTry(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"body": newUser, "no body": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := &resender{refusals: 2}
			req := newUserRequest(t, http.MethodPost, census+"user/", body)
			req.Header.Set("Idempotency-Key", "1")
			before := req.Header.Clone()
			res, err := newResending(t, base).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			ids := map[any]bool{}
			for i, seen := range base.seen {
				_, claims := tokenOf(t, seen.Header.Get(svcauth.Header))
				ids[claims["jti"]] = true
				if base.bodies[i] != body || seen == req {
					t.Errorf("try %d has body %q", i, base.bodies[i])
				}
			}
			if len(ids) != 3 {
				t.Errorf("%d tokens for 3 tries", len(ids))
			}
			if fmt.Sprint(req.Header) != fmt.Sprint(before) {
				t.Errorf("the caller's headers were changed to %v", req.Header)
			}
			again, err := req.GetBody()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(again); err != nil || string(got) != body {
				t.Errorf("the caller's GetBody returns %q, %v", got, err)
			}
		})
	}
}

// The number of tries is bounded. No try begins after the context is done.
func TestTransportGivesUp(t *testing.T) {
	t.Parallel()
	base := &resender{refusals: 1000}
	res, err := newResending(t, base).RoundTrip(newUserRequest(t, http.MethodPost, census+"user/", newUser))
	if err == nil {
		res.Body.Close()
	}
	if n := len(base.seen); err == nil || n < 2 || n > 10 {
		t.Errorf("%v after %d tries", err, n)
	}
	base = &resender{refusals: 1000}
	req := newUserRequest(t, http.MethodPost, census+"user/", newUser)
	ctx, cancel := context.WithCancel(req.Context())
	cancel()
	res, err = newResending(t, base).RoundTrip(req.WithContext(ctx))
	if err == nil {
		res.Body.Close()
	}
	if !errors.Is(err, context.Canceled) || len(base.seen) > 1 {
		t.Errorf("%v after %d tries", err, len(base.seen))
	}
}

// When a connection is closed under load, the client does not know whether the service has executed
// the request. No token is sent twice then, although the requests say that they may be sent again.
func TestTransportOnClosedConnections(t *testing.T) {
	t.Parallel()
	var tokens sync.Map
	server := newTLSServer(t, "census.service", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if _, again := tokens.LoadOrStore(r.Header.Get(svcauth.Header), true); again {
			t.Error("a token came twice")
		}
	}))
	client := server.signingClient(t, newSigner(t, nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				req := newUserRequest(t, http.MethodPost, census+"user/", strings.Repeat("x", n%2*20_000))
				req.Header.Set("Idempotency-Key", "1")
				if res, err := client.Do(req); err == nil {
					res.Body.Close()
				}
			}
		})
	}
	for ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
		server.CloseClientConnections()
	}
	load.Wait()
}
