package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"example.com/micromachine/pkg/fileperm"
)

var devCACommand = command{
	name:    "dev-ca",
	args:    "--dir DIR [--json] HOST…",
	summary: "make a certificate authority and TLS certificates for development",
	about: `Makes a certificate authority for development, DIR/ca.pem and DIR/ca-key.pem, and for each HOST, a DNS name or an IP
address, the server certificate DIR/HOST.pem with its key DIR/HOST-key.pem, valid for a year. Keys are ECDSA P-256, readable
by their owner alone, and never overwritten. What is there already is kept; a certificate that has expired, or that fits
neither its key nor the authority, is replaced, and the output says so. A key that somebody else can have put there or read
is an error: DIR and its keys must belong to who runs the command, and no other user may write to DIR or read a key.`,
	examples: []string{
		"svcauth dev-ca --dir .dev/tls census.service herald.service",
		"curl --cacert .dev/tls/ca.pem https://census.service/",
	},
	define: defineDevCA,
}

func defineDevCA(fs *flag.FlagSet) action {
	dir := fs.String("dir", "", "the `DIR`ectory of all the files; made when it is not there")
	asJSON := fs.Bool("json", false, "print what was done with each file as JSON")
	return func(_ context.Context, std stdio, hosts []string) error {
		switch {
		case *dir == "":
			return usagef("--dir is missing")
		case len(hosts) == 0:
			return usagef("no HOST is given")
		}
		for _, host := range hosts {
			if err := checkHost(host); err != nil {
				return err
			}
		}
		ca := &devCA{dir: *dir, now: time.Now(), done: []outcome{}}
		err := ca.makeAll(hosts)
		if reportErr := ca.report(std, *asJSON); err == nil {
			err = reportErr
		}
		return err
	}
}

// checkHost refuses what is no name for a certificate, and names whose files would be those of another.
func checkHost(host string) error {
	if ip := net.ParseIP(host); ip != nil {
		if ip.String() != host {
			return usagef("the address %q is usually written %q", host, ip)
		}
		return nil
	}
	switch {
	case host != strings.ToLower(host):
		return usagef("the host name %q has capital letters", host)
	case len(host) > 253:
		return usagef("a host name of %d characters", len(host))
	case host == "ca" || strings.HasSuffix(host, "-key"):
		return usagef("the host name %q would take the file of another certificate or key", host)
	}
	for label := range strings.SplitSeq(host, ".") {
		if !isLabel(label) {
			return usagef("%q is no host name", host)
		}
	}
	return nil
}

// isLabel reports whether s is one label of a DNS name, or of the names with underscores that containers have.
func isLabel(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789_"
	return s != "" && len(s) <= 63 && strings.Trim(s, letters+"-") == "" && s[0] != '-' && s[len(s)-1] != '-'
}

// An outcome is what was done with one file.
type outcome struct {
	File   string `json:"file"`
	Action string `json:"action"`           // made, kept or replaced
	Reason string `json:"reason,omitempty"` // why it was replaced
}

func (ca *devCA) note(name, action, reason string) {
	ca.done = append(ca.done, outcome{ca.path(name), action, reason})
}

func (ca *devCA) path(name string) string { return filepath.Join(ca.dir, name) }

func (ca *devCA) report(std stdio, asJSON bool) error {
	if asJSON {
		return std.json(ca.done)
	}
	for _, o := range ca.done {
		line := o.Action + " " + o.File
		if o.Reason != "" {
			line += ": " + o.Reason
		}
		if _, err := fmt.Fprintln(std.out, line); err != nil {
			return err
		}
	}
	return nil
}

// makeAll makes what is missing for the authority and the hosts.
func (ca *devCA) makeAll(hosts []string) error {
	if err := os.MkdirAll(ca.dir, 0o755); err != nil { //nolint:gosec // the certificates are for others to read; the keys have their own mode
		return fmt.Errorf("making directory: %w", err)
	}
	info, err := os.Stat(ca.dir)
	if err == nil {
		err = fileperm.OwnDir(ca.dir, info)
	}
	if err != nil {
		return fmt.Errorf("looking at the directory: %w", err)
	}
	if err := ca.open(); err != nil {
		return fmt.Errorf("opening the authority: %w", err)
	}
	for _, host := range hosts {
		if err := ca.host(host); err != nil {
			return fmt.Errorf("making the certificate of %s: %w", host, err)
		}
	}
	return nil
}
