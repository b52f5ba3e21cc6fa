// Package httpserve runs HTTP servers that are safe to expose and safe to stop. A listener exists
// before it is served, has every timeout set, takes up a renewed certificate without a restart, and
// answers what has reached it before it ends.
//
//	ready := httpserve.NewReadiness(log, map[string]httpserve.Check{"database": pool.Ping})
//	public, err := httpserve.Listen(httpserve.Config{
//		Addr: ":8443", CertFile: cert, KeyFile: key, Handler: api, Readiness: ready, Logger: log,
//	})
//	...
//	admin, err := httpserve.Listen(httpserve.Config{
//		Addr: "127.0.0.1:9443", Handler: httpserve.AdminHandler(ready), Logger: log,
//	})
//	...
//	return httpserve.Run(ctx, public, admin)
package httpserve

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/pkg/logsafe"
)

// Config describes one listener. Addr and Handler are required; a zero duration means its default.
type Config struct {
	// Addr is the TCP address to listen on; port 0 picks a free one. An IPv6 address stands in
	// brackets, with its zone, if it has one.
	Addr string
	// CertFile and KeyFile are PEM files, both or neither. With them the listener speaks TLS 1.2
	// and 1.3, HTTP/1.1 and HTTP/2, and takes up new contents of the files within about a second. A
	// KeyFile that other users can read or change is refused.
	CertFile, KeyFile string
	// Handler answers the requests.
	Handler http.Handler
	// Readiness is told when the listener starts to drain. It may be nil.
	Readiness *Readiness
	// Logger takes the server's own messages. The default is slog.Default().
	Logger *slog.Logger

	// ReadHeaderTimeout is the time for a request's headers, 5 s by default.
	ReadHeaderTimeout time.Duration
	// ReadTimeout is the time for a whole request, 15 s by default.
	ReadTimeout time.Duration
	// WriteTimeout is the time from a request's headers to the end of its answer, 30 s by default.
	WriteTimeout time.Duration
	// IdleTimeout is how long a kept-alive connection may wait for its next request. The default of
	// 2 min is above the 90 s after which Go's client closes it, so that it is not we who close it
	// while a request is sent.
	IdleTimeout time.Duration

	// DrainDelay is how long the server, once it is to stop, goes on as before but for not being
	// ready: the time for a load balancer to look elsewhere. 500 ms by default.
	DrainDelay time.Duration
	// Linger is how long the server, its listener then closed, keeps connections on which clients
	// are silent. A last request on each is answered, and the connection is closed. The time begins
	// anew whenever a client sends something and when an answer ends. 500 ms by default.
	Linger time.Duration
	// Grace is the time for all that, and for unfinished requests. 20 s by default.
	Grace time.Duration
}

// maxHeaderBytes bounds a request's headers; a token is at most 8 KiB of them.
const maxHeaderBytes = 16 << 10

// shutDownTime is the time to close connections that have no request.
const shutDownTime = 5 * time.Second

// Server is a listener and what serves it.
type Server struct {
	http        *http.Server
	listener    *listener
	tls         bool
	readiness   *Readiness
	connections connections
	draining    atomic.Bool
	drainDelay  time.Duration
	linger      time.Duration
	grace       time.Duration
}

// Listen opens the listener that c describes. Connections are accepted by the operating system from
// then on and wait for Serve. An unusable certificate is an error here.
func Listen(c Config) (*Server, error) {
	if c.Handler == nil {
		return nil, errors.New("listening: no handler")
	}
	c.Logger = slog.New(logsafe.NewHandler(cmp.Or(c.Logger, slog.Default()).Handler()))
	s := &Server{
		readiness:  c.Readiness,
		drainDelay: cmp.Or(c.DrainDelay, 500*time.Millisecond),
		linger:     cmp.Or(c.Linger, 500*time.Millisecond),
		grace:      cmp.Or(c.Grace, 20*time.Second),
	}
	s.connections.states = map[net.Conn]http.ConnState{}
	s.http = &http.Server{
		Handler:           s.closeWhenDraining(c.Handler),
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: cmp.Or(c.ReadHeaderTimeout, 5*time.Second),
		ReadTimeout:       cmp.Or(c.ReadTimeout, 15*time.Second),
		WriteTimeout:      cmp.Or(c.WriteTimeout, 30*time.Second),
		IdleTimeout:       cmp.Or(c.IdleTimeout, 2*time.Minute),
		ConnState:         s.connections.changeState,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn),
	}
	if c.CertFile != "" || c.KeyFile != "" {
		certificate, err := loadCertificate(c.CertFile, c.KeyFile, c.Logger)
		if err != nil {
			return nil, err
		}
		s.tls = true
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get}
	}
	tcp, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	accepting, ok := tcp.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listening: a listener of type %T", tcp), tcp.Close())
	}
	s.listener = &listener{TCPListener: accepting, open: &s.connections}
	return s, nil
}

// Addr is the address listened on, with the port that was picked.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives up a listener that is not going to be served.
func (s *Server) Close() error { return s.listener.Close() }

// Serve answers requests until ctx ends, then drains: the server is not ready (for
// Config.DrainDelay), the listener is closed once all connections that the kernel has taken are
// accepted, every answer is the last one on its connection, and connections on which nothing more
// comes (for Config.Linger) are closed. All of it takes Config.Grace at most. It returns nil after
// an orderly end.
func (s *Server) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.accept() }()
	select {
	case err := <-served:
		return fmt.Errorf("serving %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	if s.readiness != nil {
		s.readiness.Drain()
	}
	select {
	case err := <-served:
		return fmt.Errorf("serving %s: %w", s.Addr(), err)
	case <-time.After(s.drainDelay):
	}
	return s.drain(context.WithoutCancel(ctx), served)
}

// accept takes connections until the listener is closed.
func (s *Server) accept() error {
	if s.tls {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

// drain does not begin with http.Server's Shutdown, which closes every waiting connection and drops
// every request that it has not read yet: both may belong to a client that has sent its request. So
// the listener is closed by itself, and the connections go on until no client has sent anything for
// the linger. By then nearly all have had an answer that asks the client to leave. What Shutdown
// finds after that is long silent.
func (s *Server) drain(ctx context.Context, served <-chan error) error {
	if err := s.listener.drain(); err != nil {
		return fmt.Errorf("closing listener %s: %w", s.Addr(), err)
	}
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serving %s: %w", s.Addr(), err)
	}
	// Not before: clients that are told to leave connect anew at once, and a connection that comes
	// while the listener is closed is reset.
	s.draining.Store(true)
	s.connections.touch() // each connection has the linger from now on
	ctx, cancel := context.WithTimeout(ctx, s.grace)
	defer cancel()
	err := s.connections.settle(ctx, s.linger)
	if err == nil {
		err = s.shutDown(context.WithoutCancel(ctx))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("draining %s: %w", s.Addr(), err), s.http.Close())
	}
	return nil
}

// shutDown closes connections without a request. Those of HTTP/2 take about a second, in which the
// client reads the GOAWAY.
func (s *Server) shutDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutDownTime)
	defer cancel()
	return s.http.Shutdown(ctx)
}

// Run serves both until ctx ends or one of them fails. The admin server ends last, at once, so that
// it tells of the public one's drain while that lasts.
func Run(ctx context.Context, public, admin *Server) error {
	admin.drainDelay = 0
	group, ctx := errgroup.WithContext(ctx)
	adminCtx, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stopAdmin()
		return public.Serve(ctx)
	})
	group.Go(func() error { return admin.Serve(adminCtx) })
	return group.Wait()
}
