package main

import (
	"flag"
	"net/http"

	"example.com/micromachine/pkg/httpclient"
)

// A connection configures the connections to other services: --ca and --connect-to.
type connection struct{ ca, connectTo string }

func (c *connection) define(fs *flag.FlagSet) {
	fs.StringVar(&c.ca, "ca", "", "certificate authorities for the connection: a PEM `FILE`")
	fs.StringVar(&c.connectTo, "connect-to", "",
		"connect to other addresses: a `LIST` of HOST1:PORT1:HOST2:PORT2, separated by commas, as for curl")
}

func (c *connection) client() (*http.Client, error) {
	if _, err := httpclient.New(httpclient.Config{ConnectTo: c.connectTo}); err != nil {
		return nil, usagef("--connect-to: %v", err)
	}
	return httpclient.New(httpclient.Config{CAFile: c.ca, ConnectTo: c.connectTo})
}
