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
	summary: "show what a token says, and verify it with a trust file",
	about: `Shows the header and every claim of a token, its times in words, its kind, and why every receiver
refuses it, if that is so. The token is an argument or is read from standard input; it may follow
"JWT: ", be in quotes, or have line breaks. Nothing is verified: anybody can write a token that says
anything.

With --trust, verifies the token as a receiver with that trust file does, and shows the result; the
first line says what was verified. The receiver's name is --audience or the token's own aud. The
request is that of the token, or --method and --url; if neither is known, as with article tokens, all
other checks are made. If the token covers a body and none is given, the checks before that of the
body are made. Keys that the trust file says to discover are fetched, with --ca and --connect-to.
Whether the token was used before is not checked. The exit status is 0 whatever the verdict is:
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
	fs.StringVar(&t.audience, "audience", "", "the receiver's name, its base `URL`; the default is the token's aud")
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

// inspect returns the verdict on a token; nil without --trust.
func (t *trial) inspect(ctx context.Context, compact string, read *token, body content) (*verdict, error) {
	if t.trust == "" {
		return nil, nil //nolint:nilnil // there need not be a verdict
	}
	if t.lacksRequest(read) && (t.method != "" || t.url != "") {
		return nil, errNoRequest()
	}
	if t.audience == "" {
		t.audience, t.assumed = read.says("aud"), true
	}
	return t.judge(ctx, compact, read, body)
}
