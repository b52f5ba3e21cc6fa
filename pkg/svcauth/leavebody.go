package svcauth

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// leaveBody has net/http answer a request over HTTP/1 without reading the rest of its body, which it would do even to close
// the connection after the answer. A writer that knows no deadlines has no connection to hold.
func leaveBody(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	if http.NewResponseController(w).SetReadDeadline(time.Now()) == nil {
		linger(w)
	}
}

// linger has net/http keep the connection half open for a moment after the answer, which would be lost where the client is
// still sending and the connection is reset. It does so when it is told that a body was too large.
func linger(w http.ResponseWriter) {
	for {
		wrapped, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = wrapped.Unwrap()
	}
	tooLarge := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0)
	_, _ = tooLarge.Read(make([]byte, 1)) // the error is what it is read for
}

// leavesBody reports whether the rest of a refused request's body is to be left unread. There is none when it has been
// read. When the service merely has no room, a small body costs less than the connection that the client would have to
// open for its next request.
func (r *Refusal) leavesBody(req *http.Request, maxBody int64) bool {
	if r.bodyRead || req.ContentLength == 0 {
		return false
	}
	small := req.ContentLength > 0 && req.ContentLength <= maxBody
	return r.Check != CheckAdmission || !small
}
