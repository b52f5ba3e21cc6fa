// Package httpserve runs HTTP servers that are safe to expose and safe to stop. A server opens its
// listener before it serves, has every timeout set, reloads a renewed certificate without a
// restart, and answers the requests that have reached it before it ends.
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

// Config describes one server. Addr and Handler are required. A duration of zero means the default.
type Config struct {
	// Addr is the TCP address to listen on. With port 0 the system chooses a free port. An IPv6
	// address is in brackets, with its zone if it has one.
	Addr string
	// CertFile and KeyFile are PEM files, both or neither. With them the server speaks TLS 1.2 and
	// 1.3, HTTP/1.1 and HTTP/2, and reloads the files within about a second when they change. A
	// KeyFile that other users can read or change is refused.
	CertFile, KeyFile string
	// Handler answers the requests.
	Handler http.Handler
	// Readiness becomes not ready when the server begins to drain. It may be nil.
	Readiness *Readiness
	// Logger gets the server's own messages. The default is slog.Default().
	Logger *slog.Logger

	// ReadHeaderTimeout is the time for a request's headers, 5 s by default.
	ReadHeaderTimeout time.Duration
	// ReadTimeout is the time for a whole request, 15 s by default.
	ReadTimeout time.Duration
	// WriteTimeout is the time from a request's headers to the end of its answer, 30 s by default.
	WriteTimeout time.Duration
	// IdleTimeout is how long a kept-alive connection may wait for its next request. Go's client
	// closes idle connections after 90 s. The default of 2 min is longer, so that the server does
	// not close a connection while the client sends a request.
	IdleTimeout time.Duration

	// DrainDelay is how long a server that is to stop goes on serving while it is not ready, so
	// that a load balancer can choose another one. 500 ms by default.
	DrainDelay time.Duration
	// Linger is how long the server, after it has closed its listener, keeps connections that are
	// silent. It answers one more request on each, and then closes the connection. The time begins
	// again whenever a client sends something or an answer ends. 500 ms by default.
	Linger time.Duration
	// Grace bounds the time after DrainDelay in which connections linger and unfinished requests
	// end. 20 s by default.
	Grace time.Duration
}

// maxHeaderBytes bounds a request's headers; a token is at most 8 KiB of them.
const maxHeaderBytes = 16 << 10

// shutDownTime is the time to close connections that have no request.
const shutDownTime = 5 * time.Second

// Server is an HTTP server with its listener.
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

// Listen opens the listener that c describes. From then on the operating system accepts
// connections, which wait for Serve. An unusable certificate is an error of Listen.
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

// Addr returns the address of the listener, with the port that was chosen.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close closes the listener of a server that is not going to be served.
func (s *Server) Close() error { return s.listener.Close() }

// Serve answers requests until ctx ends, and then drains. First the server is not ready, for
// Config.DrainDelay. Then it accepts the connections that the kernel has queued, and closes the
// listener. From then on every answer is the last one on its connection. Connections on which
// nothing is sent for Config.Linger are closed. After the delay all of this takes Config.Grace at
// most. Serve returns nil after an orderly end.
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

// accept accepts connections until the listener is closed.
func (s *Server) accept() error {
	if s.tls {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

// drain does not begin with http.Server's Shutdown. Shutdown closes every idle connection, and
// drops every request that it has not read yet, although the client may have sent it. So drain
// closes only the listener, and serves the connections until no client has sent anything for the
// linger. By then nearly all connections have had an answer with "Connection: close". The
// connections that Shutdown closes after that have been silent for long.
func (s *Server) drain(ctx context.Context, served <-chan error) error {
	if err := s.listener.drain(); err != nil {
		return fmt.Errorf("closing listener %s: %w", s.Addr(), err)
	}
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serving %s: %w", s.Addr(), err)
	}
	// Only now: a client that is asked to leave connects again at once, and a connection that
	// arrives while the listener is being closed is reset.
	s.draining.Store(true)
	s.connections.touch() // the linger begins now
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

// shutDown closes connections without a request. For HTTP/2 this takes about a second, in which the
// client reads the GOAWAY.
func (s *Server) shutDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutDownTime)
	defer cancel()
	return s.http.Shutdown(ctx)
}

// Run serves both servers until ctx ends or one of them fails. The admin server ends last and
// without a delay, so that it reports that the public server is draining.
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
