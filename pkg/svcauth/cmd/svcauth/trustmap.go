package main

import (
	"context"
	"flag"
	"io"
	"strings"

	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
	"example.com/micromachine/pkg/svcauth/trust"
)

var trustMapCommand = command{
	name:    "trust map",
	args:    "[--format text|mermaid] [URL=]FILE…",
	summary: "show who may call whom, and in whose name, by several trust files",
	about: `Reads the trust files of several services and shows which service may call which, with which calls
and in whose name: as text, or as a Mermaid flowchart, which GitHub and GitLab show in Markdown
files as a picture. Nothing is fetched.

A trust file does not name its service. URL is the service's name, its base URL. A FILE without URL is
shown by its file name, and is not connected with the calls that its service makes by other files.`,
	examples: []string{
		"svcauth trust map https://census.service/=census/trust.yaml https://herald.service/=herald/trust.yaml",
		"svcauth trust map --format mermaid https://census.service/=census/trust.yaml",
		"svcauth trust map trust.yaml",
	},
	define: defineTrustMap,
}

func defineTrustMap(fs *flag.FlagSet) action {
	format := fs.String("format", "text", "the `FORMAT`: text (the default) or mermaid")
	return func(_ context.Context, std stdio, args []string) error {
		write, ok := map[string]func([]permission) string{"text": mapText, "mermaid": mapFlowchart}[*format]
		if !ok {
			return usagef("--format %q: must be text or mermaid", *format)
		}
		files, err := parseMapArgs(args)
		if err != nil {
			return err
		}
		permissions, err := readPermissions(files)
		if err != nil {
			return err
		}
		_, err = io.WriteString(std.out, write(permissions))
		return err
	}
}

// A mappedFile is a trust file and the service that it belongs to.
type mappedFile struct {
	service string // its base URL, or the file's name if the command line does not say
	file    string
}

// parseMapArgs parses arguments of the form URL=FILE or FILE.
func parseMapArgs(args []string) ([]mappedFile, error) {
	if len(args) == 0 {
		return nil, usagef("no FILE is given")
	}
	files := make([]mappedFile, 0, len(args))
	given := map[string]bool{}
	for _, arg := range args {
		f := mappedFile{arg, arg}
		if before, file, ok := strings.Cut(arg, "/="); ok && strings.Contains(before, "://") {
			f = mappedFile{before + "/", file}
			if err := serviceurl.Check(f.service); err != nil {
				return nil, usagef("the service of %s: %v", file, err)
			}
		}
		if f.file == "" {
			return nil, usagef("no FILE follows %q", arg)
		}
		if given[f.service] {
			return nil, usagef("%s is given twice", f.service)
		}
		given[f.service] = true
		files = append(files, f)
	}
	return files, nil
}

// A permission is what a trust file allows one caller.
type permission struct {
	caller, receiver string
	users            bool // the callers are the users of the service named caller, by session tokens
	calls            []string
	subjects         []string // beside the caller itself
	admin            bool
}

// readPermissions reads trust files. The permissions are in the order of the files, then of the
// callers' names.
func readPermissions(files []mappedFile) ([]permission, error) {
	var all []permission
	for _, f := range files {
		policy, err := trust.ReadFile(f.file)
		if err != nil {
			return nil, err
		}
		issuers := policy.Issuers()
		for i := range issuers {
			issuer := &issuers[i]
			if len(issuer.Allow) > 0 {
				all = append(all, permission{
					caller: issuer.Name, receiver: f.service,
					calls: issuer.Allow, subjects: issuer.ActFor, admin: issuer.Admin,
				})
			}
			if issuer.Sessions {
				all = append(all, permission{caller: issuer.Name, receiver: f.service, users: true})
			}
		}
	}
	return all, nil
}
