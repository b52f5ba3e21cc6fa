package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
)

var requestCommand = command{
	name:    "request",
	args:    callArgs + " [--include] URL",
	summary: "sign a request, send it, print the answer",
	about: `Signs a request to URL, sends it as curl would, and prints the body of the answer. No redirect is followed, no proxy
used. An answer with a status of 400 or more makes the exit status 1.`,
	examples: []string{
		"svcauth request --key shop.pem --issuer https://shop.service/ --subject https://census.service/user/21/ https://census.service/user/42/",
		`svcauth request -i --ca ca.pem --connect-to herald.service:443:127.0.0.1:8442 --key another.pem --issuer https://another.service/ \`,
		`    --profile article --subject https://census.service/user/21/ --body-file welcome.json https://herald.service/notification/`,
	},
	define: defineRequest,
}

func defineRequest(fs *flag.FlagSet) action {
	var c call
	c.define(fs)
	var include bool
	fs.BoolVar(&include, "include", false, "print status and headers too")
	fs.BoolVar(&include, "i", false, "the same as --include")
	return func(ctx context.Context, std stdio, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		signed, err := c.sign(ctx, std.in, args)
		if err != nil {
			return err
		}
		return send(client, signed.req, std.out, include)
	}
}

// send sends the request and writes the answer to w.
func send(client *http.Client, req *http.Request, w io.Writer, include bool) error {
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
	if include {
		if err := writeHead(w, res); err != nil {
			return err
		}
	}
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("copying the answer: %w", err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the answer is %s", res.Status)
	}
	return nil
}

// writeHead writes status and headers as they are on the wire.
func writeHead(w io.Writer, res *http.Response) error {
	if _, err := fmt.Fprintf(w, "%s %s\r\n", res.Proto, res.Status); err != nil {
		return err
	}
	if err := res.Header.Write(w); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\r\n")
	return err
}
