package svcauth

import (
	"bytes"
	"cmp"
	"crypto/md5" //nolint:gosec // the article prescribes it; the profile must be enabled for each issuer
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"example.com/micromachine/pkg/svcauth/trust"
)

// A received is a call as the receiver got it, whatever routers and middleware have made of the
// request's URL since.
type received struct {
	method   string
	path     string // as it was sent, percent-encoded
	query    string // as it was sent, with its question mark
	signable bool   // path and query have a form in which they can be signed
	length   int64  // of the body; -1 if it is not known
	body     io.ReadCloser
}

// receivedRequest returns a request as it was received: with the target of the request line, or of
// HTTP/2's :path.
func receivedRequest(r *http.Request) received {
	call := received{method: r.Method, length: r.ContentLength, body: r.Body}
	if call.body == nil {
		call.body = http.NoBody // a request that was not received may have none
	}
	call.setTarget(r)
	return call
}

// receivedCall returns a call to the service with that origin.
func receivedCall(call *Call, origin string) received {
	r := received{
		method: call.Method, length: int64(len(call.Body)), body: io.NopCloser(bytes.NewReader(call.Body)),
	}
	rest, ok := strings.CutPrefix(call.URL, origin)
	r.split(rest)
	r.signable = ok && strings.HasPrefix(r.path, "/") && signablePath(r.path)
	return r
}

// setTarget sets path and query. Scheme and authority of the absolute form (RFC 9112 section 3.2.2)
// are as little proof as a Host header, and are not compared with anything. The asterisk form and
// the authority form name no resource. A request without RequestURI was not received: only its URL
// is there.
func (r *received) setTarget(req *http.Request) {
	if req.RequestURI == "" {
		r.split(req.URL.RequestURI())
		r.signable = req.URL.Opaque == "" && signablePath(r.path)
		return
	}
	r.split(req.RequestURI)
	if strings.HasPrefix(r.path, "/") {
		r.signable = signablePath(r.path)
		return
	}
	scheme, rest, _ := strings.Cut(req.RequestURI, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if scheme != "http" && scheme != "https" || authority == "" || strings.Contains(authority, "@") {
		return
	}
	r.split(rest[end:])
	r.path = cmp.Or(r.path, "/")
	r.signable = signablePath(r.path)
}

func (r *received) split(target string) {
	path, _, found := strings.Cut(target, "?")
	r.path, r.query = path, ""
	if found {
		r.query = target[len(path):]
	}
}

// signablePath reports whether a path has no character that must be encoded (RFC 3986 section 3.3).
// Such a path has one spelling, the one that was sent.
func signablePath(path string) bool {
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>\\^`{|}", c) >= 0 {
			return false
		}
	}
	return true
}

// callURL returns the URL of a request as it is signed and sent.
func callURL(u *url.URL) string { return u.Scheme + "://" + u.Host + u.RequestURI() }

// safeMethod reports whether a request with that method can only read (RFC 9110 section 9.2.1). Its
// token needs no bdy.
func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// bodyHash returns the bdy claim of a body: in the form of RFC 9530 (Content-Digest) for bound
// tokens, as the article prints it for article tokens.
func bodyHash(profile trust.Profile, body []byte) string {
	if profile == trust.Article {
		sum := md5.Sum(body) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// errUnsignedBody is the fault of a request with a body whose token has no bdy.
var errUnsignedBody = errors.New("a body, and no bdy")

// readBody reads a body of at most limit bytes and compares it with bdy.
func readBody(body io.ReadCloser, limit int64, profile trust.Profile, bdy string) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(nil, body, limit))
	if err != nil {
		return nil, fmt.Errorf("reading body: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(bodyHash(profile, data)), []byte(bdy)) != 1 {
		return nil, errors.New("bdy is not the hash of the body")
	}
	return data, nil
}

// checkNoBody checks that a body of unknown length is empty. It waits for the first byte or the
// end: for END_STREAM over HTTP/2, or the first chunk over HTTP/1.1. A body with a byte is the
// error errUnsignedBody.
func checkNoBody(body io.Reader) error {
	switch _, err := io.ReadFull(body, make([]byte, 1)); {
	case err == nil:
		return errUnsignedBody
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("reading body: %w", err)
	}
	return nil
}

// A heldBody is the body of a session token's request. The token does not cover it, so the handler
// reads it. Each part is returned only if recheck still lets the call in after the part has
// arrived.
type heldBody struct {
	body    io.ReadCloser
	recheck func() *Refusal
	refusal *Refusal
}

// Read implements [io.Reader]. It returns a [*Refusal] once the call is no longer let in.
func (b *heldBody) Read(p []byte) (int, error) {
	if b.refusal != nil {
		return 0, b.refusal
	}
	n, err := b.body.Read(p)
	if b.refusal = b.recheck(); b.refusal != nil {
		return 0, b.refusal
	}
	return n, err //nolint:wrapcheck // io.EOF, and errors that handlers compare
}

// Close implements [io.Closer].
func (b *heldBody) Close() error { return b.body.Close() } //nolint:wrapcheck // as the body itself
