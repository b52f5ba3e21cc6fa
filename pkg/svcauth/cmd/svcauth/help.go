package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// writeOverview lists the commands.
func writeOverview(w io.Writer) error {
	var text strings.Builder
	text.WriteString("svcauth makes and reads the tokens with which services authenticate their calls.\n\n")
	text.WriteString("usage: svcauth COMMAND [ARGUMENT…]\n\n")
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(table, "  %s\t%s\n", c.name, c.summary)
	}
	_ = table.Flush() // a strings.Builder returns no errors
	text.WriteString("\n\"svcauth help COMMAND\" explains a command and gives examples.\n\n" + exitCodes)
	_, err := io.WriteString(w, text.String())
	return err
}

const exitCodes = "exit status: 0 success, 1 failure or refusal, 2 wrong usage\n"

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
	_ = table.Flush() // a strings.Builder returns no errors
}
