package main

import (
	"cmp"
	"context"
	"flag"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/trust"
)

// A trial is a receiver and a request for the verification of a token, from the flags of verify and
// inspect.
type trial struct {
	trust, audience string
	assumed         bool // the audience is the token's aud
	method, url     string
	body            bodySource
	conn            connection
}

func (t *trial) define(fs *flag.FlagSet) {
	fs.StringVar(&t.trust, "trust", "", "the receiver's trust `FILE`")
	fs.StringVar(&t.method, "method", "", "the request's `METHOD`; the default is the token's htm")
	fs.StringVar(&t.url, "url", "", "the request's `URL`; the default is the token's htu")
	t.body.define(fs)
	t.conn.define(fs)
}

// check checks the command line before any file is read.
func (t *trial) check() error {
	if err := t.body.check(); err != nil {
		return err
	}
	if t.method != "" && !isToken(t.method) {
		return usagef("--method %q is not a method", t.method)
	}
	if t.url == "" {
		return nil
	}
	target, err := parseTarget(t.url)
	if err != nil {
		return err
	}
	t.url = "https://" + target.Host + target.RequestURI()
	return nil
}

// readInput reads the token and the body. One of them can be standard input.
func (t *trial) readInput(std stdio, args []string) (compact string, body content, err error) {
	if t.body.file == "-" && fromStdin(args) {
		return "", content{}, usagef("standard input cannot be both the token and the body")
	}
	if compact, err = readCompact(std, args); err != nil {
		return "", content{}, err
	}
	body, err = t.body.read(std.in)
	return compact, body, err
}

// request returns method and URL of the request, from the command line or the token; empty if
// neither has them.
func (t *trial) request(read *token) (method, target string) {
	return cmp.Or(t.method, read.says("htm")), cmp.Or(t.url, read.says("htu"))
}

// lacksRequest reports whether the verdict depends on a request that is not known. Article tokens
// do not name their request; the other kinds have what is checked.
func (t *trial) lacksRequest(read *token) bool {
	method, target := t.request(read)
	return read.kind() == kindArticle && (method == "" || target == "")
}

func errNoRequest() error {
	return usagef("an article token does not name its request: --method and --url are needed")
}

// judge verifies the token with the trust file. read is nil if the token cannot be read.
func (t *trial) judge(ctx context.Context, compact string, read *token, body content) (*verdict, error) {
	policy, err := trust.ReadFile(t.trust)
	if err != nil {
		return nil, err
	}
	client, err := t.conn.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: t.audience, TrustFile: t.trust, InsecureAllowReplay: true,
		HTTPClient: client, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil { // about the audience, as the trust file is good
		if t.assumed {
			return nil, usagef("the token's aud is not the name of a service: --audience is needed")
		}
		return nil, usagef("--%s", oneLine(err))
	}
	defer verifier.Close()
	if t.url != "" && !strings.HasPrefix(t.url, originOf(t.audience)+"/") {
		return nil, usagef("--url %s is no URL of %s", t.url, t.audience)
	}
	v := &verdict{Trust: t.trust, Audience: t.audience, AudienceAssumed: t.assumed, token: read, body: body}
	issuers := policy.Issuers()
	if i := slices.IndexFunc(issuers, func(i trust.Issuer) bool { return i.Name == read.says("iss") }); i >= 0 {
		entry := newIssuerReport(&issuers[i])
		v.Entry = &entry
	}
	identity, err := verifier.VerifyCall(ctx, compact, t.call(v))
	v.decide(identity, err, verifier.Stats().KeySets)
	return v, nil
}

// call returns the call to verify, and notes in the verdict which it is.
func (t *trial) call(v *verdict) svcauth.Call {
	method, target := t.request(v.token)
	switch {
	case t.lacksRequest(v.token):
		v.open = true
		method, target = v.sample()
	case method != "" && target != "":
		v.Request = &sentRequest{method, target}
	}
	return svcauth.Call{Method: cmp.Or(method, http.MethodGet), URL: cmp.Or(target, t.audience), Body: v.body.data}
}

// originOf returns scheme and host of a service's name.
func originOf(audience string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(audience, "https://"), "/")
	return "https://" + host
}
