package stack

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"time"

	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/svcauth"
)

// An Exchange is a request that passed a tap, with the status of its response.
type Exchange struct {
	Method, Path, Token string
	Status              int
}

// A tap is a TLS proxy in front of Census. It forwards requests unchanged and reports each
// exchange.
type tap struct {
	addr   string
	server *http.Server
	served chan error
}

// newTap starts a tap. dir contains the certificate of Census.
func newTap(dir string, census *Service, caFile string, show func(Exchange)) (*tap, error) {
	client, err := httpclient.New(httpclient.Config{CAFile: caFile, ConnectTo: ConnectTo([]*Service{census})})
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Transport: client.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: census.host()})
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(res *http.Response) error {
			r := res.Request
			show(Exchange{r.Method, r.URL.Path, r.Header.Get(svcauth.Header), res.StatusCode})
			return nil
		},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the tap: %w", err)
	}
	t := &tap{
		addr: listener.Addr().String(), served: make(chan error, 1),
		server: &http.Server{Handler: proxy, ReadHeaderTimeout: 5 * time.Second},
	}
	go func() {
		t.served <- t.server.ServeTLS(listener, filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls-key.pem"))
	}()
	return t, nil
}

// Close stops the tap.
func (t *tap) Close() error {
	err := t.server.Close()
	if served := <-t.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serving the tap: %w", served))
	}
	return err
}
