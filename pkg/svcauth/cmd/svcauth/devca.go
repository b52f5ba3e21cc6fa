package main

import (
	"context"
	"flag"
	"fmt"

	"example.com/micromachine/pkg/devca"
)

var devCACommand = command{
	name:    "dev-ca",
	args:    "--dir DIR [--json] HOST…",
	summary: "make a certificate authority and TLS certificates for development",
	about: `Makes a certificate authority for development, DIR/ca.pem and DIR/ca-key.pem, and for each HOST, a
DNS name or an IP address, the server certificate DIR/HOST.pem with its key DIR/HOST-key.pem, valid
for a year. Keys are ECDSA P-256. Only their owner can read them, and they are never overwritten.
Files that exist are kept, but a certificate that has expired, or does not match its key, its HOST or
the authority, is replaced; the output says so. DIR and the keys in it must belong to the user who
runs the command, and no other user may be able to write to DIR or to read a key.`,
	examples: []string{
		"svcauth dev-ca --dir .dev/tls census.service herald.service",
		"curl --cacert .dev/tls/ca.pem https://census.service/",
	},
	define: defineDevCA,
}

func defineDevCA(fs *flag.FlagSet) action {
	dir := fs.String("dir", "", "the `DIR`ectory of all files; it is made if it does not exist")
	asJSON := fs.Bool("json", false, "print what was done with each file as JSON")
	return func(_ context.Context, std stdio, hosts []string) error {
		switch {
		case *dir == "":
			return usagef("--dir is missing")
		case len(hosts) == 0:
			return usagef("no HOST is given")
		}
		for _, host := range hosts {
			if err := devca.CheckHost(host); err != nil {
				return usagef("%v", err)
			}
		}
		files, err := devca.Make(devca.Config{Dir: *dir, Hosts: hosts})
		if reportErr := reportFiles(std, files, *asJSON); err == nil {
			err = reportErr
		}
		return err
	}
}

// devCAFile is an element of what dev-ca --json prints.
type devCAFile struct {
	File   string       `json:"file"`
	Action devca.Action `json:"action"`
	Reason string       `json:"reason,omitempty"`
}

// reportFiles prints what was done with each file.
func reportFiles(std stdio, files []devca.File, asJSON bool) error {
	if asJSON {
		report := []devCAFile{}
		for _, f := range files {
			report = append(report, devCAFile{f.Name, f.Action, f.Reason})
		}
		return std.json(report)
	}
	for _, f := range files {
		line := string(f.Action) + " " + f.Name
		if f.Reason != "" {
			line += ": " + f.Reason
		}
		if _, err := fmt.Fprintln(std.out, line); err != nil {
			return err
		}
	}
	return nil
}
