package svcauth

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// Require returns a middleware for net/http, chi and others. A request that passes every check
// reaches the handler, with [CallerFrom], [SubjectFrom] and [ClaimsFrom] set in its context. Others
// are answered: 401 for a token that is missing or invalid, 403 for a call or a subject that the
// trust policy does not allow, 413 for a body of more than maxBody bytes, 503 if the issuer's keys
// or the replay store cannot be reached. The answer is an RFC 9457 problem that says no more than
// that. [Verifier.Verify] describes how the body is read. A maxBody of 0 is for requests without a
// body.
//
// Paths, in htu and in the trust policy, are compared with the request target as it was received,
// so Require may stand behind [http.StripPrefix] and routers that rewrite URLs. The handler gets
// the rewritten URL.
//
// Methods are compared byte for byte, so a method in lower case is never allowed. If a middleware
// before Require overrides the method, token and trust policy must allow the method that the
// handler gets. A middleware that overrides methods must not stand behind Require. GET, HEAD and
// OPTIONS only read, and need no bdy if they have no body. A body of no bytes, chunked or in an
// empty DATA frame of HTTP/2, is no body. An issuer that may GET may HEAD. OPTIONS is allowed if
// the trust policy names it.
func (v *Verifier) Require(maxBody int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			passed, err := v.Verify(r, maxBody)
			if refusal, ok := errors.AsType[*Refusal](err); ok {
				if r.ProtoMajor == 1 && leavesBody(refusal, r, maxBody) {
					leaveBody(w)
				}
				refusal.write(w, v.config.Audience)
				return
			}
			next.ServeHTTP(w, passed)
		})
	}
}

// leavesBody reports whether the rest of a refused request's body is left unread. There is no rest
// if it has been read. If the service merely has no room, reading a small body costs less than the
// connection that the client would have to open for its next request.
func leavesBody(refusal *Refusal, r *http.Request, maxBody int64) bool {
	if refusal.bodyRead || r.ContentLength == 0 {
		return false
	}
	small := r.ContentLength > 0 && r.ContentLength <= maxBody
	return refusal.Check != CheckAdmission || !small
}

// leaveBody makes net/http answer a request over HTTP/1 without reading the rest of its body. To
// close the connection is not enough: net/http reads the rest before it does. A writer without
// deadlines has no connection.
func leaveBody(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	if http.NewResponseController(w).SetReadDeadline(time.Now()) == nil {
		linger(w)
	}
}

// linger makes net/http keep the connection half open for a moment after the answer. Without it,
// the answer is lost if the connection is reset while the client still sends. net/http does so when
// a body was too large, so linger reads one byte too many of an empty limit.
func linger(w http.ResponseWriter) {
	for {
		wrapped, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = wrapped.Unwrap()
	}
	tooLarge := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0)
	_, _ = tooLarge.Read(make([]byte, 1)) // its error is expected
}
