package svcauth

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// A TransportConfig says what a [Transport] needs to know.
type TransportConfig struct {
	// Signer signs the calls. Required.
	Signer *Signer
	// Audience is the name, the base URL, of the service that is called. A request to any other URL is an error and is
	// not sent. Required.
	Audience string
	// Base sends the signed requests; the default is the transport of what [NewHTTPClient] makes of an empty config.
	Base http.RoundTripper
}

// A Transport is an [http.RoundTripper] that signs each request before it is sent, on behalf of the subject that
// [ActFor] put in the request's context; a context without one is an error. It is safe for concurrent use. The body is
// read into memory to be hashed. Each signed request works once: a retry must go through the transport again, as
// [http.Client] does it.
type Transport struct {
	config TransportConfig
}

// NewTransport checks the config; a missing field is an error that names it.
func NewTransport(config TransportConfig) (*Transport, error) {
	if config.Signer == nil {
		return nil, errors.New("svcauth: transport without signer")
	}
	if err := checkServiceName(config.Audience); err != nil {
		return nil, fmt.Errorf("svcauth: audience: %w", err)
	}
	if config.Base == nil {
		client, err := NewHTTPClient(HTTPClientConfig{})
		if err != nil {
			return nil, err
		}
		config.Base = client.Transport
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
	if err := t.config.Signer.Sign(signed, t.config.Audience, subject); err != nil {
		return nil, errors.Join(err, closeBody(r))
	}
	// Or net/http would send the same token twice, on a connection that broke: it does so with a body that it can read
	// again, and with none.
	signed.GetBody = nil
	if !safeMethod(cmp.Or(signed.Method, http.MethodGet)) && (signed.Body == nil || signed.Body == http.NoBody) {
		signed.Body = io.NopCloser(strings.NewReader(""))
	}
	return t.config.Base.RoundTrip(signed)
}

// closeBody keeps the promise of a RoundTripper to close the body whatever happens.
func closeBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	return r.Body.Close()
}
