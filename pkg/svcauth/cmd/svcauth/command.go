package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A command is one subcommand with all that its help says.
type command struct {
	name     string
	args     string // what follows the name in the usage line
	summary  string // for the overview
	about    string // what it does, in whole sentences
	examples []string
	define   func(*flag.FlagSet) action
}

// An action does a command's work, once its flags are parsed; args are the arguments that are not flags.
type action func(ctx context.Context, std stdio, args []string) error

// stdio is what a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// json writes v, indented, for --json.
func (s stdio) json(v any) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// A usageError is a command line that cannot be understood.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// run parses the flags and acts. It returns flag.ErrHelp when help is asked for.
func (c command) run(ctx context.Context, args []string, std stdio) error {
	fs := c.flagSet()
	act := c.define(fs)
	args, err := parse(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if err != nil {
		return usagef("%s (see \"svcauth help %s\")", doubleDashes.Replace(err.Error()), c.name)
	}
	return act(ctx, std, args)
}

func (c command) flagSet() *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// doubleDashes makes package flag's errors name flags as the help does.
var doubleDashes = strings.NewReplacer("not defined: -", "not defined: --", "argument: -", "argument: --", "for flag -", "for flag --")

// parse parses flags that may stand before, between and after the other arguments, which it returns. All that follows
// "--" is no flag.
func parse(fs *flag.FlagSet, args []string) (others []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		rest := fs.Args()
		if len(rest) == 0 {
			return others, nil
		}
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			return append(others, rest...), nil
		}
		others, args = append(others, rest[0]), rest[1:]
	}
}

// writeOverview lists the commands.
func writeOverview(w io.Writer) error {
	var text strings.Builder
	text.WriteString("svcauth makes and reads the tokens with which services sign their calls.\n\nusage: svcauth COMMAND [ARGUMENT…]\n\n")
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(table, "  %s\t%s\n", c.name, c.summary)
	}
	_ = table.Flush() // a strings.Builder takes everything
	text.WriteString("\n\"svcauth help COMMAND\" explains a command and gives examples.\n\n" + exitCodes)
	_, err := io.WriteString(w, text.String())
	return err
}

const exitCodes = "exit status: 0 done, 1 failed or refused, 2 wrong usage\n"

func (c command) writeHelp(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "usage: svcauth %s %s\n\n%s\n\nflags:\n", c.name, c.args, c.about)
	c.writeFlags(&text)
	text.WriteString("\nexamples:\n")
	for _, example := range c.examples {
		fmt.Fprintf(&text, "  %s\n", example)
	}
	text.WriteString("\n" + exitCodes)
	_, err := io.WriteString(w, text.String())
	return err
}

func (c command) writeFlags(text *strings.Builder) {
	fs := c.flagSet()
	c.define(fs)
	table := tabwriter.NewWriter(text, 0, 0, 3, ' ', 0)
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		fmt.Fprintf(table, "  %s\t%s\n", strings.TrimSpace(dashes+f.Name+" "+value), usage)
	})
	_ = table.Flush() // a strings.Builder takes everything
}

// A row is a line of a table for people. A row without label goes on with the one above.
type row struct{ label, value string }

func rowsOf(label string, values []string) []row {
	var rows []row
	for _, value := range values {
		rows = append(rows, row{label, value})
		label = ""
	}
	return rows
}

func writeRows(text *strings.Builder, rows []row) {
	table := tabwriter.NewWriter(text, 0, 0, 3, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(table, "  %s\t%s\n", r.label, printable(r.value))
	}
	_ = table.Flush() // a strings.Builder takes everything
}

// commaList lists names for people.
func commaList[S ~string](names []S) string {
	var list strings.Builder
	for i, name := range names {
		if i > 0 {
			list.WriteString(", ")
		}
		list.WriteString(string(name))
	}
	return list.String()
}
