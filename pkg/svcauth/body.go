package svcauth

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"

	"example.com/micromachine/pkg/svcauth/trust"
)

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
