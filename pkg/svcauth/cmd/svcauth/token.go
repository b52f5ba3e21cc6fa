package main

import (
	"context"
	"flag"
	"fmt"

	"example.com/micromachine/pkg/svcauth"
)

var tokenCommand = command{
	name:    "token",
	args:    callArgs + " [--curl] [--json] URL",
	summary: "print a token for one request, or the whole curl command",
	about: `Prints a token for one request to URL. A bound token is valid for that method, URL and body alone; a
token that covers a body is valid once. With --curl, prints the command with which curl sends the
request.`,
	examples: []string{
		`svcauth token --key shop.pem --issuer https://shop.service/ \`,
		`    --subject https://census.service/user/21/ https://census.service/user/42/`,
		`svcauth token --key another.pem --issuer https://another.service/ --profile article \`,
		`    --subject https://census.service/user/21/ --curl --body-file welcome.json https://herald.service/notification/`,
		`eval "$(svcauth token --curl --ca ca.pem --connect-to census.service:443:127.0.0.1:8441 …)"`,
	},
	define: defineToken,
}

func defineToken(fs *flag.FlagSet) action {
	var c call
	c.define(fs)
	curl := fs.Bool("curl", false, "print the whole curl command")
	asJSON := fs.Bool("json", false, "print the token and its request as JSON")
	return func(ctx context.Context, std stdio, args []string) error {
		signed, err := c.sign(ctx, std.in, args)
		if err != nil {
			return err
		}
		out := tokenOutput{
			Token: signed.req.Header.Get(svcauth.Header), Audience: c.audience,
			Method: signed.req.Method, URL: signed.url(),
		}
		if *curl {
			if _, err := c.conn.client(); err != nil { // reports faults of --ca and --connect-to before curl runs
				return err
			}
			out.Curl = curlLine(&c, signed)
		}
		return out.write(std, *asJSON)
	}
}

// tokenOutput is what token --json prints.
type tokenOutput struct {
	Token    string `json:"token"`
	Audience string `json:"audience"`
	Method   string `json:"method"`
	URL      string `json:"url"`
	Curl     string `json:"curl,omitempty"`
}

func (o tokenOutput) write(std stdio, asJSON bool) error {
	if asJSON {
		return std.json(o)
	}
	line := o.Token
	if o.Curl != "" {
		line = o.Curl
	}
	_, err := fmt.Fprintln(std.out, line)
	return err
}
