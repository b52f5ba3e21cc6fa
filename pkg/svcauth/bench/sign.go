package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
)

// The names of the sides.
const (
	rawSign = "raw Ed25519 sign"
	ourSign = "svcauth, Signer.Sign of a GET"
)

const (
	signRounds = 41
	signOps    = 2000
)

// signing compares signing a request with signing the same bytes with plain Ed25519.
func signing(ctx context.Context, w *world) ([]row, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, userURL, nil)
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	token, err := readToken(w.signer, audience, userURL)
	if err != nil {
		return nil, err
	}
	parts, err := splitToken(token)
	if err != nil {
		return nil, err
	}
	c := &comparison{rounds: signRounds, ops: signOps, fresh: func() error { return nil }, sides: []side{
		{name: rawSign, run: each(func(int) error { ed25519.Sign(w.private, parts.input); return nil })},
		{name: ourSign, run: each(func(int) error { return w.signer.Sign(r, audience, subject) })},
	}}
	measured, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	return []row{
		heading("Signing a request (Ed25519)"),
		measured.opRow(rawSign),
		measured.opRow(ourSign).withRatio("raw", measured.ratio(ourSign, rawSign), atMost(1.30)),
	}, nil
}
