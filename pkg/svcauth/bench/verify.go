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

// The names of what is measured beside the peers.
const (
	rawVerify  = "raw Ed25519 verify"
	firstSight = "svcauth, every check, a token never seen before"
	seenBefore = "svcauth, a token seen before"
)

const (
	verifyRounds = 41
	verifyOps    = 1000
)

// A signed is a token taken apart, as the bare signature algorithm wants it.
type signed struct{ input, signature []byte }

func takeApart(token string) (signed, error) {
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		return signed{}, fmt.Errorf("decoding signature: %w", err)
	}
	return signed{input: []byte(token[:dot]), signature: signature}, nil
}

// A batch is the tokens of one round. Every side gets the same; svcauth has seen none of them before.
type batch struct {
	tokens []string
	signed []signed
}

func (b *batch) renew(w *world) (err error) {
	if b.tokens, err = w.readTokens(verifyOps, func(int) string { return userURL }); err != nil {
		return fmt.Errorf("signing tokens: %w", err)
	}
	b.signed = make([]signed, len(b.tokens))
	for i, token := range b.tokens {
		if b.signed[i], err = takeApart(token); err != nil {
			return err
		}
	}
	return nil
}

// verification compares svcauth with the bare signature algorithm and with its peers, on the same tokens.
func verification(ctx context.Context, w *world) ([]row, error) {
	verifier, err := w.verifier()
	if err != nil {
		return nil, err
	}
	defer verifier.Close()
	g, err := newGate(verifier, userURL)
	if err != nil {
		return nil, err
	}
	all, err := peers(ctx, w.public(), w.key.ID())
	if err != nil {
		return nil, err
	}
	for _, p := range append(all, peer{"svcauth", func(token string) error { return g.check([]string{token}) }}) {
		if err := w.checkRefusals(p); err != nil {
			return nil, err
		}
	}
	b := &batch{}
	c := &contest{rounds: verifyRounds, ops: verifyOps, fresh: func() error { return b.renew(w) }, sides: b.sides(w.public(), all, g)}
	r, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	return verificationRows(r, all), nil
}

// sides puts those side by side whose ratio has a goal: the less time lies between them, the more they have in common.
func (b *batch) sides(key ed25519.PublicKey, all []peer, g *gate) []side {
	var sides []side
	for _, p := range all {
		sides = append(sides, side{name: p.name, run: each(func(i int) error { return p.verify(b.tokens[i]) })})
	}
	check := each(func(i int) error { return g.check(b.tokens[i : i+1]) })
	ours := []side{
		{name: rawVerify, run: each(func(i int) error {
			if !ed25519.Verify(key, b.signed[i].input, b.signed[i].signature) {
				return errors.New("bad signature")
			}
			return nil
		})},
		{name: firstSight, run: check},
		{name: seenBefore, run: check, repeats: true},
	}
	afterGoJOSE := 1 + slices.IndexFunc(sides, func(s side) bool { return s.name == goJOSE })
	return slices.Insert(sides, afterGoJOSE, ours...)
}

func verificationRows(r results, all []peer) []row {
	rows := []row{heading("Verifying a token (Ed25519)"), r.opRow(rawVerify)}
	for _, p := range all {
		rows = append(rows, r.opRow(p.name).beside("raw", r.ratio(p.name, rawVerify), goal{}))
	}
	return append(rows,
		r.opRow(firstSight).beside("raw", r.ratio(firstSight, rawVerify), atMost(1.30)),
		row{what: "    beside go-jose"}.beside("go-jose", r.ratio(firstSight, goJOSE), atMost(0.85)),
		r.opRow(seenBefore).beside("never seen", r.ratio(seenBefore, firstSight), atMost(0.03)),
		row{what: "    its allocations"}.counted(r.allocs(seenBefore), atMost(2)))
}
