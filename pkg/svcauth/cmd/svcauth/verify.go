package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

var verifyCommand = command{
	name:    "verify",
	args:    "--trust FILE --audience URL [FLAG…] [TOKEN|-]",
	summary: "say whether a receiver lets a call in",
	about: `Says whether the service named --audience, with that trust file, would let a call with this token in
now. Exit status 0 means yes, and the output has caller and subject; 1 means no, and the error has the
check that refuses the call and the reason. The checks are those of the service itself, but whether
the token was used before is not checked.

The token is an argument or is read from standard input, and may be pasted as for "svcauth inspect".
The request is that of the token (htm and htu), or --method and --url; an article token needs both.
The request has no body unless one is given. Keys that the trust file says to discover are fetched,
with --ca and --connect-to, within 3 s.`,
	examples: []string{
		"svcauth verify --trust trust.yaml --audience https://census.service/ eyJhbGciOiJFZERTQSIs…",
		`svcauth token --key shop.pem … | svcauth verify --trust trust.yaml --json \`,
		`    --audience https://census.service/`,
		`svcauth verify --trust trust.yaml --audience https://herald.service/ --method POST \`,
		`    --url https://herald.service/notification/ --body-file welcome.json eyJhbGciOiJFZERTQSIs…`,
	},
	define: defineVerify,
}

func defineVerify(fs *flag.FlagSet) action {
	var t trial
	t.define(fs)
	fs.StringVar(&t.audience, "audience", "", "the receiver's name, its base `URL`")
	asJSON := fs.Bool("json", false, "print the verdict as JSON, also if the call is refused")
	return func(ctx context.Context, std stdio, args []string) error {
		v, err := t.verify(ctx, std, args)
		if err != nil {
			return err
		}
		if *asJSON {
			err = std.json(v)
		} else if v.Verdict == letIn {
			err = v.writeLetIn(std)
		}
		if v.Verdict == refused {
			err = errors.Join(err, errors.New(v.sentence()))
		}
		return err
	}
}

// verify verifies a token with all that its checks need.
func (t *trial) verify(ctx context.Context, std stdio, args []string) (*verdict, error) {
	for _, required := range []struct{ flag, value string }{{"--trust", t.trust}, {"--audience", t.audience}} {
		if required.value == "" {
			return nil, usagef("%s is missing", required.flag)
		}
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	compact, body, err := t.readInput(std, args)
	if err != nil {
		return nil, err
	}
	if compact == "" {
		return nil, errors.New("not a token: nothing there")
	}
	read, _ := readToken(compact, time.Now()) // nil if it cannot be read; the verifier reports why
	if t.lacksRequest(read) {
		return nil, errNoRequest()
	}
	body.given = true
	v, err := t.judge(ctx, compact, read, body)
	if err == nil && v.Check == svcauth.CheckBody && !t.body.given() {
		v.Reason += "; none was given"
	}
	return v, err
}

func (v *verdict) writeLetIn(std stdio) error {
	var text strings.Builder
	writeRows(&text, v.rows())
	_, err := fmt.Fprint(std.out, text.String())
	return err
}
