package main

import (
	"context"
	"flag"
)

var jwksCommand = command{
	name:    "jwks",
	args:    "[--pem] KEY-FILE|DIR…",
	summary: "print the public keys of private key files",
	about: `Prints the public keys of private keys as a JWK Set (RFC 7517) or as PEM. A trust file's "keys" accepts
both. DIR is a key directory of "svcauth rotate" and stands for all its keys.`,
	examples: []string{
		"svcauth jwks shop.pem shop-next.pem > shop.jwks.json",
		"svcauth jwks /etc/shop/keys > shop.jwks.json",
		"svcauth jwks --pem shop.pem > shop.pub.pem",
	},
	define: defineJWKS,
}

func defineJWKS(fs *flag.FlagSet) action {
	asPEM := fs.Bool("pem", false, "print PEM blocks instead of a JWK Set")
	return func(_ context.Context, std stdio, args []string) error {
		if len(args) == 0 {
			return usagef("no KEY-FILE and no DIR is given")
		}
		loaded, err := loadKeys(args)
		if err != nil {
			return err
		}
		marshal := marshalJWKS
		if *asPEM {
			marshal = marshalPEM
		}
		data, err := marshal(loaded)
		if err != nil {
			return err
		}
		_, err = std.out.Write(data)
		return err
	}
}
