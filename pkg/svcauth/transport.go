package svcauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
)

// A TransportConfig says what a [Transport] needs to know.
type TransportConfig struct {
	// Signer signs the calls. Required.
	Signer *Signer
	// Audience is the name, the base URL, of the service that is called. A request to any other URL is an error and is
	// not sent. Required.
	Audience string
	// Base sends the signed requests. The default is [http.DefaultTransport], which waits for response
	// headers as long as the context of the request allows.
	Base http.RoundTripper
}

// A Transport is an [http.RoundTripper] that signs each request before it is sent, on behalf of the subject that
// [ActFor] put in the request's context; a context without one is an error. It is safe for concurrent use. The body is
// read into memory to be hashed. The caller's request is not changed.
//
// A token that covers a body works once, so net/http must not send such a request a second time by itself. The transport
// sends it again, at most 4 times and with a new token each time, when net/http finds that this is safe: over HTTP/2 when
// the service says by GOAWAY or REFUSED_STREAM that it has not begun the request, as a service that stops does, and over
// HTTP/1.1 when nothing of it was written to a connection that turned out to be closed. GET, HEAD and OPTIONS are sent
// again also when a kept connection broke; without a body they keep their token, which may be used again for the same
// URL. Any other request whose connection breaks after it was written is an error, as the service may have acted on it,
// also with an Idempotency-Key. Whether to call again is then the caller's decision.
type Transport struct {
	config TransportConfig
}

// NewTransport checks the config; a missing field is an error that names it.
func NewTransport(config TransportConfig) (*Transport, error) {
	if config.Signer == nil {
		return nil, errors.New("svcauth: transport without signer")
	}
	if err := serviceurl.Check(config.Audience); err != nil {
		return nil, fmt.Errorf("svcauth: audience: %w", err)
	}
	if config.Base == nil {
		config.Base = http.DefaultTransport //nolint:forbidigo // net/http's own default; Base replaces it
	}
	return &Transport{config: config}, nil
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	subject, ok := r.Context().Value(actForKey{}).(Subject)
	if !ok {
		return nil, errors.Join(errors.New("svcauth: the request's context has no subject: use ActFor"), closeBody(r))
	}
	signed := r.Clone(r.Context())
	hideIdempotencyKey(signed.Header)
	for try := 1; ; try++ {
		if err := t.config.Signer.Sign(signed, t.config.Audience, subject); err != nil {
			return nil, errors.Join(err, closeBody(signed))
		}
		res, err := t.config.Base.RoundTrip(onceOnly(signed))
		if !errors.Is(err, errSignAnew) {
			return res, err
		}
		if try == maxTries {
			return nil, fmt.Errorf("svcauth: sent %d times, each time on a connection that the service was closing", try)
		}
		if err := pause(r.Context(), time.Duration(try-1)*retryPause); err != nil {
			return nil, err
		}
		if signed, err = rewound(signed); err != nil {
			return nil, err
		}
	}
}

// How often a request is sent at most, and how much longer each pause before the next time is. The first is none.
const (
	maxTries   = 5
	retryPause = 100 * time.Millisecond
)

// errSignAnew is what net/http gets when it asks for a request's body again. It asks only after it has found that the
// request may be sent again, and returns this error from RoundTrip.
var errSignAnew = errors.New("svcauth: to be sent again, the request needs a new token")

// onceOnly returns a copy of a signed request that net/http does not send a second time, unless its token covers no body.
func onceOnly(signed *http.Request) *http.Request {
	if !hasBody(signed) && safeMethod(cmp.Or(signed.Method, http.MethodGet)) {
		return signed
	}
	once := signed.WithContext(signed.Context())
	if !hasBody(signed) {
		once.Body = io.NopCloser(strings.NewReader("")) // net/http sends a request again that has none
	}
	once.GetBody = func() (io.ReadCloser, error) { return nil, errSignAnew }
	return once
}

// rewound returns a copy of a signed request to be signed and sent again. net/http may still use the one before.
func rewound(signed *http.Request) (*http.Request, error) {
	again := signed.Clone(signed.Context())
	if !hasBody(signed) {
		return again, nil
	}
	body, err := signed.GetBody() // of rewindBody
	if err != nil {
		return nil, fmt.Errorf("svcauth: reading body again: %w", err)
	}
	again.Body = body
	return again, nil
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// hideIdempotencyKey spells the headers in lower case by which net/http takes a request of any method for one that may be
// sent again after its connection broke. On the wire the case makes no difference.
func hideIdempotencyKey(header http.Header) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := header[name]; ok {
			delete(header, name)
			header[strings.ToLower(name)] = values
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeBody keeps the promise of a RoundTripper to close the body whatever happens.
func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}
