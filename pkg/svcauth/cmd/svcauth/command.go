package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// A command is a subcommand and its help text.
type command struct {
	name     string
	args     string // follows the name in the usage line
	summary  string // one line of the overview
	about    string // the paragraphs of its help
	examples []string
	define   func(*flag.FlagSet) action
}

// An action runs a command after its flags are parsed. args are the arguments that are not flags.
type action func(ctx context.Context, std stdio, args []string) error

// stdio are the standard streams of a command.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// json writes v as indented JSON.
func (s stdio) json(v any) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// A usageError is a fault of the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// run parses the flags and runs the command. For -h and --help it returns flag.ErrHelp.
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

// doubleDashes writes the flags in the errors of package flag as the help does.
var doubleDashes = strings.NewReplacer(
	"not defined: -", "not defined: --", "argument: -", "argument: --", "for flag -", "for flag --")

// parse parses flags before, between and after the other arguments, which it returns. Arguments
// after "--" are not flags.
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
