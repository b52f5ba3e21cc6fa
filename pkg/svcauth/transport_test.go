package svcauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A tlsServer is a TLS server with a self-signed certificate for a service name.
type tlsServer struct {
	*httptest.Server
	caFile    string
	connectTo string // directs connections to port 443 of the name to this server
}

func newTLSServer(t *testing.T, name string, handler http.Handler) *tlsServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := &tlsServer{Server: httptest.NewUnstartedServer(handler), caFile: filepath.Join(t.TempDir(), "ca.pem")}
	writeFile(t, s.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of clients that hang up
	s.EnableHTTP2 = true                                                        // for the clients that ask for it
	s.StartTLS()
	t.Cleanup(s.Close)
	s.connectTo = name + ":443:" + s.Listener.Addr().String()
	return s
}

// client returns a client that trusts the server and connects to it.
func (s *tlsServer) client(t *testing.T) *http.Client {
	t.Helper()
	client, err := httpclient.New(httpclient.Config{CAFile: s.caFile, ConnectTo: s.connectTo})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// signingClient returns a client that signs its calls to Census.
func (s *tlsServer) signingClient(t *testing.T, signer *svcauth.Signer) *http.Client {
	t.Helper()
	client := s.client(t)
	transport, err := svcauth.NewTransport(svcauth.TransportConfig{Signer: signer, Audience: census, Base: client.Transport})
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: transport}
}

// newUserRequest returns a request on behalf of user 21.
func newUserRequest(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(svcauth.ActFor(t.Context(), user21), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// A client with the transport calls a service with the middleware over TLS, by the name of the
// service.
func TestTransport(t *testing.T) {
	t.Parallel()
	issuer := svcauthtest.NewIssuer(t, herald)
	verifier := svcauthtest.NewVerifier(t, census, svcauthtest.Trust{
		Issuer: issuer, Allow: []string{"GET /user/*", "POST /user/"}, ActFor: []string{"https://census.service/user/*"},
	})
	server := newTLSServer(t, "census.service", verifier.Require(maxBody)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, _ := svcauth.SubjectFrom(r.Context())
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, string(subject)+" "+r.Method+" "+string(body))
	})))
	client := server.signingClient(t, issuer.Signer())
	for _, tt := range []struct{ method, url, body, want string }{
		{"GET", census + "user/42/?x=a+b&y=%20", "", user21 + " GET "},
		{"POST", census + "user/", newUser, user21 + " POST " + newUser},
		{"POST", census + "user/", "", user21 + " POST "},
	} {
		req := newUserRequest(t, tt.method, tt.url, tt.body)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || string(got) != tt.want {
			t.Errorf("%s %s: status %d, body %q, %v", tt.method, tt.url, res.StatusCode, got, err)
		}
		res.Body.Close()
		if req.Header.Get(svcauth.Header) != "" {
			t.Error("the caller's own request was changed")
		}
	}
}

// A request that must not be signed is not sent either. Its body is closed, as http.RoundTripper
// requires.
func TestTransportRefuses(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	server := newTLSServer(t, "census.service", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent.Add(1) }))
	client := server.signingClient(t, newSigner(t, nil))
	forSubject := func(subject svcauth.Subject) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return svcauth.ActFor(ctx, subject) }
	}
	noSubject := func(ctx context.Context) context.Context { return ctx }
	for _, tt := range []struct {
		name string
		act  func(context.Context) context.Context
		url  string
		want string
	}{
		{"no subject", noSubject, census, "has no subject"},
		{"empty subject", forSubject(""), census, "no subject to act for"},
		{"another host", forSubject(user21), "https://shop.service/", "not to https://census.service/"},
		{"longer host", forSubject(user21), "https://census.service.evil/", "not to https://census.service/"},
		{"another port", forSubject(user21), "https://census.service:8443/", "not to https://census.service/"},
		{"over http", forSubject(user21), "http://census.service/", "not to https://census.service/"},
		{"with user info", forSubject(user21), "https://x@census.service/", "not to https://census.service/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := &watchedBody{Reader: strings.NewReader(newUser)}
			req, err := http.NewRequestWithContext(tt.act(t.Context()), http.MethodPost, tt.url, body)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Transport.RoundTrip(req)
			if err == nil {
				res.Body.Close()
				t.Fatal("sent")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if !body.closed {
				t.Error("the body was not closed")
			}
		})
	}
	t.Cleanup(func() {
		if n := sent.Load(); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

// A redirect to another service is not followed. One within the service is followed with a new
// token.
func TestTransportRedirect(t *testing.T) {
	t.Parallel()
	tokens := make(chan string, 10)
	server := newTLSServer(t, "census.service", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens <- r.Header.Get(svcauth.Header)
		switch r.URL.Path {
		case "/away/":
			http.Redirect(w, r, "https://shop.service/", http.StatusTemporaryRedirect)
		case "/here/":
			http.Redirect(w, r, "/user/", http.StatusTemporaryRedirect)
		}
	}))
	client := server.signingClient(t, newSigner(t, nil))
	if res, err := client.Do(newUserRequest(t, "POST", census+"away/", newUser)); err == nil {
		res.Body.Close()
		t.Errorf("followed to another service: %s", res.Status)
	}
	res, err := client.Do(newUserRequest(t, "POST", census+"here/", newUser))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	<-tokens // for away
	_, first := tokenOf(t, <-tokens)
	_, second := tokenOf(t, <-tokens)
	if first["htu"] != census+"here/" || second["htu"] != census+"user/" || first["jti"] == second["jti"] || second["bdy"] != first["bdy"] {
		t.Errorf("signed %v and then %v", first, second)
	}
}

// A request whose connection breaks is not sent again with the same token, although it says that it
// may be sent again.
func TestTransportDoesNotRepeatToken(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"body": newUser, "no body": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkNoRepeat(t, body)
		})
	}
}

func checkNoRepeat(t *testing.T, body string) {
	t.Helper()
	tokens := make(chan string, 10)
	server := newTLSServer(t, "census.service", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		tokens <- r.Header.Get(svcauth.Header)
		if len(tokens) > 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	client := server.signingClient(t, newSigner(t, nil))
	for i := range 2 {
		req := newUserRequest(t, http.MethodPost, census+"user/", body)
		req.Header.Set("Idempotency-Key", "1")
		res, err := client.Do(req)
		if (err == nil) != (i == 0) {
			t.Errorf("call %d: %v", i, err)
		}
		if err == nil {
			res.Body.Close()
		}
	}
	if len(tokens) != 2 {
		t.Errorf("%d requests for 2 calls", len(tokens))
	}
}

func TestNewTransportNeeds(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, nil)
	for _, tt := range []struct {
		config svcauth.TransportConfig
		want   string
	}{
		{svcauth.TransportConfig{Audience: census}, "without signer"},
		{svcauth.TransportConfig{Signer: signer}, "audience"},
		{svcauth.TransportConfig{Signer: signer, Audience: "https://census.service"}, "audience"},
	} {
		if _, err := svcauth.NewTransport(tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
	if _, err := svcauth.NewTransport(svcauth.TransportConfig{Signer: signer, Audience: census}); err != nil {
		t.Error(err)
	}
}
