// Package httpserve runs HTTP servers that are safe to expose and safe to stop.
// A listener exists before it is served, has every timeout set, takes up a
// renewed certificate without a restart, and answers what has reached it before
// it ends.
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
)

// Config describes one listener. Addr and Handler are required; a zero
// duration means its default.
type Config struct {
	// Addr is the TCP address to listen on; port 0 picks a free one.
	Addr string
	// CertFile and KeyFile are PEM files, both or neither. With them the
	// listener speaks TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2, and takes up new
	// contents of the files within about a second.
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
	// WriteTimeout is the time from a request's headers to the end of its
	// answer, 30 s by default.
	WriteTimeout time.Duration
	// IdleTimeout is how long a kept-alive connection may wait for its next
	// request. The default of 2 min is above the 90 s after which Go's client
	// closes it, so that it is not we who close it while a request is sent.
	IdleTimeout time.Duration

	// DrainDelay is how long, once it is to stop, the server goes on as before
	// but asks clients to leave: it is not ready, and each answer closes its
	// connection. 500 ms by default.
	DrainDelay time.Duration
	// Grace is the time that unfinished requests have after that, 20 s by default.
	Grace time.Duration
}

// maxHeaderBytes bounds a request's headers; a token is at most 8 KiB of them.
const maxHeaderBytes = 16 << 10

// Server is a listener and what serves it.
type Server struct {
	http       *http.Server
	listener   net.Listener
	tls        bool
	readiness  *Readiness
	draining   atomic.Bool
	drainDelay time.Duration
	grace      time.Duration
}

// Listen opens the listener that c describes. Connections are accepted by the
// operating system from then on and wait for Serve. An unusable certificate is
// an error here.
func Listen(c Config) (*Server, error) {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	s := &Server{
		readiness:  c.Readiness,
		drainDelay: cmp.Or(c.DrainDelay, 500*time.Millisecond),
		grace:      cmp.Or(c.Grace, 20*time.Second),
	}
	s.http = &http.Server{
		Handler:           s.closeWhenDraining(c.Handler),
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: cmp.Or(c.ReadHeaderTimeout, 5*time.Second),
		ReadTimeout:       cmp.Or(c.ReadTimeout, 15*time.Second),
		WriteTimeout:      cmp.Or(c.WriteTimeout, 30*time.Second),
		IdleTimeout:       cmp.Or(c.IdleTimeout, 2*time.Minute),
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
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	s.listener = listener
	return s, nil
}

// Addr is the address listened on, with the port that was picked.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives up a listener that is not going to be served.
func (s *Server) Close() error { return s.http.Close() }

// Serve answers requests until ctx ends, then drains: first the server is not
// ready and asks clients to leave (for Config.DrainDelay), then the listener is
// closed, and requests in flight are answered (within Config.Grace). It returns
// nil after an orderly end.
func (s *Server) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	select {
	case err := <-served:
		return fmt.Errorf("serving %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	s.announceDrain()
	select {
	case err := <-served:
		return fmt.Errorf("serving %s: %w", s.Addr(), err)
	case <-time.After(s.drainDelay):
	}
	return s.shutdown(context.WithoutCancel(ctx))
}

func (s *Server) serve() error {
	if s.tls {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

func (s *Server) announceDrain() {
	if s.readiness != nil {
		s.readiness.Drain()
	}
	s.draining.Store(true)
}

func (s *Server) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.grace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("draining %s: %w", s.Addr(), err), s.http.Close())
	}
	return nil
}

// closeWhenDraining makes each answer of a draining server the last one on its
// connection (for HTTP/2, net/http makes a GOAWAY of the header). The server's
// SetKeepAlivesEnabled(false) would do so too, but it also closes the waiting
// connections at once, and with them requests already on their way.
func (s *Server) closeWhenDraining(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Run serves both until ctx ends or one of them fails. The admin server ends
// last, so that it tells of the public one's drain to its end.
func Run(ctx context.Context, public, admin *Server) error {
	group, ctx := errgroup.WithContext(ctx)
	adminCtx, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stopAdmin()
		return public.Serve(ctx)
	})
	group.Go(func() error { return admin.Serve(adminCtx) })
	return group.Wait()
}
