package main

import (
	"context"
	"flag"
	"fmt"
	"time"
)

var inspectCommand = command{
	name:    "inspect",
	args:    "[--json] [--trust FILE [--audience URL] [FLAG…]] [TOKEN|-]",
	summary: "show what a token says, and what a trust file would say of it",
	about: `Shows the header and every claim of a token, its times in words, and what kind of token it is. The token is an argument
or comes on standard input; it may be pasted with "JWT: " in front, in quotes, or broken over lines. Nothing is verified:
no key is asked for, and anybody can write a token that says anything.

With --trust, says what a receiver with that trust file would say of the token now, and why; the first line then tells what
was verified and what was not. The receiver is that of --audience, or the token's own aud. The request is what the token
says, or --method and --url; where neither tells, as with article tokens, all other checks are made. Where the token covers
a body and none is given, the checks before it are made. Keys that the trust file says to discover are fetched, with --ca
and --connect-to. Whether the token was used before is not known here. The exit status is 0 whatever the verdict is:
"svcauth verify" is the command for scripts.`,
	examples: []string{
		"svcauth inspect eyJhbGciOiJFZERTQSIs…",
		"svcauth inspect 'JWT: eyJhbGciOiJFZERTQSIs…'",
		"svcauth token --key shop.pem … | svcauth inspect --json",
		"svcauth inspect --trust trust.yaml --audience https://census.service/ eyJhbGciOiJFZERTQSIs…",
	},
	define: defineInspect,
}

func defineInspect(fs *flag.FlagSet) action {
	var t trial
	t.define(fs)
	fs.StringVar(&t.audience, "audience", "", "the receiver's name, its base `URL`; by default what the token says (aud)")
	asJSON := fs.Bool("json", false, "print header, claims, times, remarks and verdict as JSON")
	return func(ctx context.Context, std stdio, args []string) error {
		if t.trust == "" && fs.NFlag() > 0 && (fs.NFlag() > 1 || !*asJSON) {
			return usagef("without --trust, --json is the only flag")
		}
		if err := t.check(); err != nil {
			return err
		}
		compact, body, err := t.readInput(std, args)
		if err != nil {
			return err
		}
		read, err := readToken(compact, time.Now())
		if err != nil {
			return fmt.Errorf("not a token: %w", err)
		}
		v, err := t.inspect(ctx, compact, read, body)
		if err != nil {
			return err
		}
		if *asJSON {
			return std.json(read.json(v))
		}
		return read.write(std.out, v)
	}
}

// inspect asks for the verdict on a token, as far as one is wanted.
func (t *trial) inspect(ctx context.Context, compact string, read *token, body content) (*verdict, error) {
	if t.trust == "" {
		return nil, nil //nolint:nilnil // no verdict is one of the answers
	}
	if t.lacksRequest(read) && (t.method != "" || t.url != "") {
		return nil, errNoRequest()
	}
	if t.audience == "" {
		t.audience, t.assumed = read.says("aud"), true
	}
	return t.judge(ctx, compact, read, body)
}
