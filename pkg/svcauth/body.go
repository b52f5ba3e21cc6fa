package svcauth

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what the article prints; the profile must be enabled for each issuer
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"example.com/micromachine/pkg/svcauth/trust"
)

var errUnsignedBody = errors.New("a body, and no bdy")

// takeBody checks the request's body and sets the one that the handler reads. All reading is
// bounded by maxBody.
func (v *verification) takeBody(ctx context.Context) *Refusal {
	v.body = v.req.Body
	if v.body == nil {
		v.body = http.NoBody // as a request that never was on the wire may have it
	}
	if v.req.ContentLength > v.maxBody {
		return refuse(CheckBody, &http.MaxBytesError{Limit: v.maxBody})
	}
	switch {
	case v.hasBody:
		return v.matchBody()
	case !v.session:
		return v.checkNoBody()
	case v.body != http.NoBody:
		v.body = newHeldBody(ctx, v)
	}
	return nil
}

// matchBody reads the body, compares it with bdy, and keeps it for the handler.
func (v *verification) matchBody() *Refusal {
	body, err := io.ReadAll(http.MaxBytesReader(nil, v.body, v.maxBody))
	if err != nil {
		return refuse(CheckBody, fmt.Errorf("reading body: %w", err))
	}
	want := bodyHash(v.issuer.entry.Profile(), body)
	if subtle.ConstantTimeCompare([]byte(want), []byte(v.token.claims.Body)) != 1 {
		return refuse(CheckBody, errors.New("bdy is not the hash of the body"))
	}
	v.body, v.bodyRead = io.NopCloser(bytes.NewReader(body)), true
	return nil
}

// checkNoBody checks that the request of a token without bdy has no body. Where the request does
// not say so, as over HTTP/2 before END_STREAM or in HTTP/1.1 before the first chunk, it waits for
// the first byte or the end.
func (v *verification) checkNoBody() *Refusal {
	body := v.body
	v.body = http.NoBody
	if v.req.ContentLength >= 0 {
		return nil // more than 0 was refused by checkClaims
	}
	switch _, err := io.ReadFull(body, make([]byte, 1)); {
	case err == nil:
		return refuse(CheckClaims, errUnsignedBody)
	case !errors.Is(err, io.EOF):
		return refuse(CheckBody, fmt.Errorf("reading body: %w", err))
	}
	v.bodyRead = true
	return nil
}

// bodyHash returns the bdy claim of a body: in the form of RFC 9530 (Content-Digest) for bound
// tokens, as the article prints it for the others.
func bodyHash(profile trust.Profile, body []byte) string {
	if profile == trust.Article {
		sum := md5.Sum(body) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// A heldBody is the body of a session token's request, of which the token says nothing: it is left
// to the handler. Each part of it is handed on only if time and trust still hold when it has
// arrived; otherwise Read returns the [*Refusal].
type heldBody struct {
	io.ReadCloser
	ctx     context.Context //nolint:containedctx // of the request, as the body is
	call    verification
	refusal *Refusal
}

func newHeldBody(ctx context.Context, v *verification) *heldBody {
	return &heldBody{ReadCloser: http.MaxBytesReader(nil, v.body, v.maxBody), ctx: ctx, call: *v}
}

// Read implements [io.Reader].
func (b *heldBody) Read(p []byte) (int, error) {
	if b.refusal != nil {
		return 0, b.refusal
	}
	n, err := b.ReadCloser.Read(p)
	if refusal := b.call.check(b.ctx); refusal != nil {
		b.refusal = b.call.describe(refusal)
		b.refusal.log(b.ctx, b.call.log, b.call.req)
		return 0, b.refusal
	}
	return n, err //nolint:wrapcheck // io.EOF, and what handlers look for
}
