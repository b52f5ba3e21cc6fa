package httpserve

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// closeWhenDraining makes each answer of a draining server the last one on its connection. For
// HTTP/2, net/http turns the header into a GOAWAY.
func (s *Server) closeWhenDraining(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &lastAnswer{ResponseWriter: w, draining: &s.draining}
		next.ServeHTTP(answer, r)
		answer.decide() // for a handler that wrote nothing
	})
}

// A lastAnswer is a ResponseWriter that adds "Connection: close" when its header is written after
// the drain began.
type lastAnswer struct {
	http.ResponseWriter
	draining *atomic.Bool
	decided  bool
}

func (w *lastAnswer) decide() {
	if !w.decided && w.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	w.decided = true
}

// WriteHeader implements [http.ResponseWriter]. A status of 1xx is not yet the answer; after 101
// the server no longer controls the connection.
func (w *lastAnswer) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.decide()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *lastAnswer) Write(p []byte) (int, error) {
	w.decide()
	return w.ResponseWriter.Write(p)
}

// ReadFrom implements [io.ReaderFrom], which lets net/http copy a file without reading it into
// memory.
func (w *lastAnswer) ReadFrom(r io.Reader) (int64, error) {
	w.decide()
	return io.Copy(w.ResponseWriter, r)
}

// Flush implements [http.Flusher].
func (w *lastAnswer) Flush() { _ = w.FlushError() }

// FlushError is what [http.ResponseController] calls.
func (w *lastAnswer) FlushError() error {
	w.decide()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements [http.Hijacker]; over HTTP/2 it returns an error.
func (w *lastAnswer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap is what [http.ResponseController] calls.
func (w *lastAnswer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
