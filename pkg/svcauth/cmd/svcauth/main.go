// Command svcauth makes keys, tokens and development certificates for package svcauth, reads tokens
// and trust files, and sends signed requests:
//
//	svcauth keygen --out shop.pem
//	svcauth request --key shop.pem --issuer https://shop.service/ --subject https://census.service/user/21/ \
//		https://census.service/user/42/
//
// "svcauth help" lists the commands, "svcauth help COMMAND" explains one. The exit status is 0 on
// success, 1 when something failed or was refused, and 2 when the command line is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands are the subcommands in the order of the overview.
var commands = []command{
	keygenCommand,
	jwksCommand,
	rotateCommand,
	tokenCommand,
	requestCommand,
	inspectCommand,
	verifyCommand,
	devCACommand,
	trustCheckCommand,
	trustExplainCommand,
	trustMapCommand,
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs one command line and returns the exit status. It writes an error as one line to stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_ = writeOverview(stderr) // an error of stderr cannot be reported
		return exitUsage
	}
	name, err := dispatch(ctx, args, stdio{stdin, stdout, stderr})
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "svcauth %s: %s\n", name, oneLine(err))
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// dispatch runs the command with which args begin, and returns its name.
func dispatch(ctx context.Context, args []string, std stdio) (name string, err error) {
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return "help", help(std.out, args[1:])
	}
	c, rest, err := find(args)
	if err != nil {
		return args[0], err
	}
	err = c.run(ctx, rest, std)
	if errors.Is(err, flag.ErrHelp) {
		err = c.writeHelp(std.out)
	}
	return c.name, err
}

// find returns the command with which args begin, whose name has one word or two, and the arguments
// after the name.
func find(args []string) (c command, rest []string, err error) {
	var longer []string
	for _, c := range commands {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return c, args[len(words):], nil
		}
		if words[0] == args[0] {
			longer = append(longer, c.name)
		}
	}
	if len(longer) > 0 {
		return command{}, nil, usagef("an incomplete command: one of %s", commaList(longer))
	}
	return command{}, nil, usagef("no such command: see \"svcauth help\"")
}

// help writes the overview, or the help of the command named by args.
func help(w io.Writer, args []string) error {
	if len(args) == 0 {
		return writeOverview(w)
	}
	c, _, err := find(args)
	if err != nil {
		return err
	}
	return c.writeHelp(w)
}

// oneLine returns an error's text without the prefix of package svcauth and without line breaks.
func oneLine(err error) string {
	text := strings.TrimPrefix(err.Error(), "svcauth: ")
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
