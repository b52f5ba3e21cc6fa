package main

import (
	"bytes"
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

// A trial is what the flags of verify and inspect say: the receiver that is to judge a token, and the request that the
// token is to have come with.
type trial struct {
	trust, audience string
	assumed         bool // the audience is what the token says
	method, url     string
	body            bodySource
	connection
}

func (t *trial) define(fs *flag.FlagSet) {
	fs.StringVar(&t.trust, "trust", "", "the receiver's trust `FILE`")
	fs.StringVar(&t.method, "method", "", "the request's `METHOD`; by default what the token says (htm)")
	fs.StringVar(&t.url, "url", "", "the request's `URL`; by default what the token says (htu)")
	t.body.define(fs)
	t.connection.define(fs)
}

// check finds what is wrong in the command line before anything is read.
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

// readInput reads the token and the body, of which one may come on standard input.
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

// request returns method and URL of the request that the token is to have come with; empty where neither the command line
// nor the token says.
func (t *trial) request(read *token) (method, target string) {
	return cmp.Or(t.method, read.says("htm")), cmp.Or(t.url, read.says("htu"))
}

// lacksRequest reports whether the verdict hangs on a request of which not all is known. Article tokens say nothing of it,
// all others say what is needed.
func (t *trial) lacksRequest(read *token) bool {
	method, target := t.request(read)
	return read.kind() == kindArticle && (method == "" || target == "")
}

func errNoRequest() error {
	return usagef("an article token says nothing of its request: --method and --url are needed")
}

// judge asks a verifier that has the trust file what it says of the token; read is nil where the token cannot be read.
func (t *trial) judge(ctx context.Context, compact string, read *token, body content) (*verdict, error) {
	policy, err := trust.ReadFile(t.trust)
	if err != nil {
		return nil, err
	}
	client, err := t.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: t.audience, TrustFile: t.trust, InsecureAllowReplay: true,
		HTTPClient: client, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil { // the trust file was good, so that this is about the audience
		if t.assumed {
			return nil, usagef("the token's aud is no service's name: --audience is needed")
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
	req, err := t.newRequest(ctx, v)
	if err != nil {
		return nil, err
	}
	req.Header.Set(svcauth.Header, compact)
	passed, err := verifier.Verify(req, int64(len(body.data)))
	v.decide(passed, err, verifier.Stats().KeySets)
	return v, nil
}

// newRequest makes the request that the verifier is asked about, and notes in the verdict which it is.
func (t *trial) newRequest(ctx context.Context, v *verdict) (*http.Request, error) {
	method, target := t.request(v.token)
	switch {
	case t.lacksRequest(v.token):
		v.open = true
		method, target = v.sample()
	case method != "" && target != "":
		v.Request = &sentRequest{method, target}
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(v.body.data))
	if err != nil || req.URL.Host == "" {
		// What the token says is nothing that can be sent, so that whatever is sent is something else.
		return http.NewRequestWithContext(ctx, http.MethodGet, t.audience, bytes.NewReader(v.body.data))
	}
	return req, nil
}

// originOf returns scheme and host of a service's name.
func originOf(audience string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(audience, "https://"), "/")
	return "https://" + host
}
