package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
)

var requestCommand = command{
	name:    "request",
	args:    callArgs + " [--include] [--json] URL",
	summary: "sign a request, send it, print the response",
	about: `Signs a request to URL, sends it as curl would, and prints the body of the response. Redirects are not
followed and proxies are not used. A response with a status of 400 or more makes the exit status 1.
--json prints status, headers and body as one object; a body that is not UTF-8 is in base64, as
body_base64.`,
	examples: []string{
		`svcauth request --key shop.pem --issuer https://shop.service/ \`,
		`    --subject https://census.service/user/21/ https://census.service/user/42/`,
		`svcauth request -i --ca ca.pem --connect-to herald.service:443:127.0.0.1:8442 \`,
		`    --key another.pem --issuer https://another.service/ --profile article \`,
		`    --subject https://census.service/user/21/ --body-file welcome.json https://herald.service/notification/`,
		`svcauth request --json --key /etc/shop/keys --issuer https://shop.service/ \`,
		`    --subject https://shop.service/ https://census.service/user/`,
	},
	define: defineRequest,
}

func defineRequest(fs *flag.FlagSet) action {
	var c call
	c.define(fs)
	var include bool
	fs.BoolVar(&include, "include", false, "print status and headers, too")
	fs.BoolVar(&include, "i", false, "the same as --include")
	asJSON := fs.Bool("json", false, "print status, headers and body as JSON")
	return func(ctx context.Context, std stdio, args []string) error {
		if include && *asJSON {
			return usagef("--json includes status and headers: --include is for the response as text")
		}
		client, err := c.conn.client()
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		signed, err := c.sign(ctx, std.in, args)
		if err != nil {
			return err
		}
		write := std.response
		switch {
		case *asJSON:
			write = std.responseJSON
		case include:
			write = std.wholeResponse
		}
		return send(client, signed.req, write)
	}
}

// send sends the request and calls write for the response.
func send(client *http.Client, req *http.Request, write func(*http.Response) error) error {
	for name, value := range map[string]string{"User-Agent": "svcauth", "Accept": "*/*"} {
		if req.Header.Get(name) == "" {
			req.Header.Set(name, value)
		}
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := write(res); err != nil {
		return fmt.Errorf("copying the response: %w", err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the response is %s", res.Status)
	}
	return nil
}
