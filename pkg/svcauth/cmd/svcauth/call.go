package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/trust"
)

// A call is a request with its signer and its subject, from the flags of token and request.
type call struct {
	key, issuer, audience, subject string
	profile                        string
	lifetime                       time.Duration

	method  string
	headers []header
	body    bodySource
	conn    connection
}

// callArgs is the beginning of the usage lines of token and request.
const callArgs = "--key FILE|DIR --issuer URL --subject URI [FLAG…]"

// define adds the flags.
func (c *call) define(fs *flag.FlagSet) {
	fs.StringVar(&c.key, "key", "", "the calling service's private key: a PKCS #8 PEM `FILE`, or a directory of rotate")
	fs.StringVar(&c.issuer, "issuer", "", "the calling service's name, its base `URL`")
	fs.StringVar(&c.audience, "audience", "",
		"the called service's name, its base `URL`; the default is scheme and host of the request's URL")
	fs.StringVar(&c.subject, "subject", "", "the subject in whose name: a user's `URI`, or the issuer's own name")
	fs.StringVar(&c.profile, "profile", string(trust.Bound), "the token's `PROFILE`: bound (the default) or article")
	fs.DurationVar(&c.lifetime, "lifetime", svcauth.DefaultLifetime,
		"the lifetime of the token: a `DURATION` in whole seconds up to 5m; 60s by default")
	fs.StringVar(&c.method, "method", "", "the request's `METHOD`; the default is GET, or POST if there is a body")
	fs.Func("header",
		"another header `LINE` such as 'Accept: text/html'; Content-Type is application/json by default; may be repeated",
		c.addHeader)
	c.body.define(fs)
	c.conn.define(fs)
}

// A signedCall is a signed request.
type signedCall struct {
	req     *http.Request
	headers []header
	body    content
}

// sign makes the request for the URL in args and signs it.
func (c *call) sign(ctx context.Context, stdin io.Reader, args []string) (*signedCall, error) {
	target, err := c.check(args)
	if err != nil {
		return nil, err
	}
	key, err := openKeys(c.key)
	if err != nil {
		return nil, err
	}
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{
		Issuer: c.issuer, Key: key, Profile: trust.Profile(c.profile), Lifetime: c.lifetime,
	})
	if err != nil {
		return nil, usagef("%s", oneLine(err))
	}
	body, err := c.body.read(stdin)
	if err != nil {
		return nil, err
	}
	s, err := c.request(ctx, target, body)
	if err != nil {
		return nil, err
	}
	if err := signer.Sign(s.req, c.audience, svcauth.Subject(c.subject)); err != nil {
		return nil, usagef("%s", oneLine(err))
	}
	return s, nil
}

// check checks the command line before any file is read, and sets the defaults.
func (c *call) check(args []string) (*url.URL, error) {
	if len(args) != 1 {
		return nil, usagef("exactly one URL is wanted, not %d", len(args))
	}
	for _, required := range []struct{ flag, value string }{
		{"--key", c.key}, {"--issuer", c.issuer}, {"--subject", c.subject},
	} {
		if required.value == "" {
			return nil, usagef("%s is missing", required.flag)
		}
	}
	target, err := parseTarget(args[0])
	if err != nil {
		return nil, err
	}
	if c.audience == "" {
		c.audience = "https://" + target.Host + "/"
	}
	if err := c.body.check(); err != nil {
		return nil, err
	}
	switch {
	case c.method == "" && c.body.given():
		c.method = http.MethodPost
	case c.method == "":
		c.method = http.MethodGet
	}
	switch {
	case !isToken(c.method):
		return nil, usagef("--method %q is not a method", c.method)
	case c.method == http.MethodHead && c.body.given():
		return nil, usagef("a HEAD request has no body")
	case c.lifetime == 0:
		return nil, usagef("--lifetime 0: the token would never be valid")
	}
	return target, nil
}

func (c *call) request(ctx context.Context, target *url.URL, body content) (*signedCall, error) {
	//nolint:gosec // the user of the command names the URL
	req, err := http.NewRequestWithContext(ctx, c.method, target.String(), bytes.NewReader(body.data))
	if err != nil {
		return nil, usagef("%v", err)
	}
	for _, h := range c.headers {
		if strings.EqualFold(h.name, "Host") {
			req.Host = h.value
			continue
		}
		req.Header.Add(h.name, h.value)
	}
	headers := c.headers
	if body.given && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
		headers = append(headers, header{"Content-Type", "application/json"})
	}
	return &signedCall{req, headers, body}, nil
}
