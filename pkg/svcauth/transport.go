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

// A TransportConfig is the configuration of a [Transport].
type TransportConfig struct {
	// Signer signs the calls. Required.
	Signer *Signer
	// Audience is the base URL of the called service. A request to another URL is an error and is
	// not sent. Required.
	Audience string
	// Base sends the signed requests. The default is [http.DefaultTransport], which waits for
	// response headers as long as the context of the request allows.
	Base http.RoundTripper
}

// A Transport is an [http.RoundTripper] that signs each request before it sends it, on behalf of
// the subject of [ActFor] and with the claims of [WithClaims] in the request's context. A context
// without a subject is an error. It reads the body into memory to hash it. It does not change the
// caller's request. It is safe for concurrent use.
//
// A token that covers a body works once, so net/http must not send such a request again by itself.
// The transport sends it again, at most 4 times and each time with a new token, when net/http finds
// that this is safe: over HTTP/2 when the service says by GOAWAY or REFUSED_STREAM that it has not
// begun the request, as a service that stops does, and over HTTP/1.1 when nothing was written to a
// connection that was closed. GET, HEAD and OPTIONS are also sent again when a kept connection
// broke. Without a body they keep their token, which may be used again for the same URL. For any
// other request, also one with an Idempotency-Key, a connection that breaks after the request was
// written is an error, because the service may have acted on it. The caller decides whether to call
// again.
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

const (
	maxTries = 5
	// retryPause is the pause before the third try. Each later pause is longer by the same time.
	retryPause = 100 * time.Millisecond
)

// errSignAnew is the error of a request's GetBody. net/http calls GetBody only after it has found
// that the request may be sent again, and returns this error from RoundTrip.
var errSignAnew = errors.New("svcauth: to be sent again, the request needs a new token")

// onceOnly returns a copy of a signed request that net/http does not send again by itself, unless
// its token covers no body.
func onceOnly(signed *http.Request) *http.Request {
	if !hasBody(signed) && safeMethod(cmp.Or(signed.Method, http.MethodGet)) {
		return signed
	}
	once := signed.WithContext(signed.Context())
	if !hasBody(signed) {
		once.Body = io.NopCloser(strings.NewReader("")) // net/http would send a request without a body again
	}
	once.GetBody = func() (io.ReadCloser, error) { return nil, errSignAnew }
	return once
}

// rewound returns a copy of a signed request to be signed and sent again. net/http may still use
// the original.
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

// hideIdempotencyKey spells in lower case the headers that make net/http send a request of any
// method again after its connection broke. On the wire the case makes no difference.
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

// closeBody closes the body, as a RoundTripper must also after an error.
func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}
