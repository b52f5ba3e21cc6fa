package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The names of the sides besides the peers.
const (
	rawVerify = "raw Ed25519 verify"
	uncached  = "svcauth, every check, a token never seen before"
	cached    = "svcauth, a token seen before"
)

const (
	verifyRounds = 41
	verifyOps    = 1000
)

// tokenParts are the signed input and the signature of a token.
type tokenParts struct{ input, signature []byte }

func splitToken(token string) (tokenParts, error) {
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		return tokenParts{}, fmt.Errorf("decoding signature: %w", err)
	}
	return tokenParts{input: []byte(token[:dot]), signature: signature}, nil
}

// A batch has the tokens of one round. All sides verify the same tokens. They are new to svcauth.
type batch struct {
	tokens []string
	parts  []tokenParts
}

func (b *batch) renew(w *world) (err error) {
	if b.tokens, err = w.readTokens(verifyOps, func(int) string { return userURL }); err != nil {
		return fmt.Errorf("signing tokens: %w", err)
	}
	b.parts = make([]tokenParts, len(b.tokens))
	for i, token := range b.tokens {
		if b.parts[i], err = splitToken(token); err != nil {
			return err
		}
	}
	return nil
}

// verification compares svcauth with plain Ed25519 and with its peers on the same tokens.
func verification(ctx context.Context, w *world) ([]row, error) {
	verifier, err := w.verifier()
	if err != nil {
		return nil, err
	}
	defer verifier.Close()
	v, err := newRequestVerifier(verifier, userURL)
	if err != nil {
		return nil, err
	}
	all, err := peers(ctx, w.public(), w.key.ID())
	if err != nil {
		return nil, err
	}
	for _, p := range append(all, peer{"svcauth", func(token string) error { return v.check([]string{token}) }}) {
		if err := w.checkRefusals(p); err != nil {
			return nil, err
		}
	}
	b := &batch{}
	c := &comparison{
		rounds: verifyRounds, ops: verifyOps,
		fresh: func() error { return b.renew(w) }, sides: b.sides(w.public(), all, v),
	}
	r, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	return verificationRows(r, all), nil
}

// sides returns the sides. Those whose ratio has a goal run directly after each other, so that
// changes in the speed of the machine affect the ratio least.
func (b *batch) sides(key ed25519.PublicKey, all []peer, v *requestVerifier) []side {
	var sides []side
	for _, p := range all {
		sides = append(sides, side{name: p.name, run: each(func(i int) error { return p.verify(b.tokens[i]) })})
	}
	check := each(func(i int) error { return v.check(b.tokens[i : i+1]) })
	ours := []side{
		{name: rawVerify, run: each(func(i int) error {
			if !ed25519.Verify(key, b.parts[i].input, b.parts[i].signature) {
				return errors.New("bad signature")
			}
			return nil
		})},
		{name: uncached, run: check},
		{name: cached, run: check, repeats: true},
	}
	afterGoJOSE := 1 + slices.IndexFunc(sides, func(s side) bool { return s.name == goJOSE })
	return slices.Insert(sides, afterGoJOSE, ours...)
}

func verificationRows(r results, all []peer) []row {
	rows := []row{heading("Verifying a token (Ed25519)"), r.opRow(rawVerify)}
	for _, p := range all {
		rows = append(rows, r.opRow(p.name).withRatio("raw", r.ratio(p.name, rawVerify), goal{}))
	}
	return append(rows,
		r.opRow(uncached).withRatio("raw", r.ratio(uncached, rawVerify), atMost(1.30)),
		row{what: "    beside go-jose"}.withRatio("go-jose", r.ratio(uncached, goJOSE), atMost(0.85)),
		r.opRow(cached).withRatio("never seen", r.ratio(cached, uncached), atMost(0.03)),
		row{what: "    its allocations"}.counted(r.allocs(cached), atMost(2)))
}
