package service

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

// usageWidth is the width of the usage in characters.
const usageWidth = 100

// Usage returns what help prints: the commands and the settings of a service.
func Usage(d Definition) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s COMMAND\n\nCommands:\n", d.Name)
	for _, c := range d.commands() {
		writeEntry(&b, 2, 14, c.Name, c.Help)
		writeFlags(&b, &c)
	}
	b.WriteString("\nSettings are taken from the environment; a secret NAME also from the file NAME_FILE.\n")
	shared, rest := d.documentation()
	for _, v := range shared {
		writeEntry(&b, 2, 24, d.Variable(v.variable), strings.Join(v.commands, ", ")+"; "+v.text())
	}
	b.WriteString("and, for serve alone,\n")
	for _, v := range rest {
		writeEntry(&b, 2, 24, d.Variable(v.variable), v.text())
	}
	b.WriteString("\nExit codes: 0 done, 1 failed, 2 wrong usage or settings.\n")
	return b.String()
}

// Markdown returns the table of a service's settings for its README.
func Markdown(d Definition) string {
	var b strings.Builder
	b.WriteString("| variable | meaning | default |\n|---|---|---|\n")
	shared, rest := d.documentation()
	for _, v := range append(shared, rest...) {
		name, preset := "`"+d.Variable(v.variable)+"`", ""
		if v.secret {
			name += " or `" + d.Variable(v.variable) + "_FILE`"
		}
		switch {
		case v.required:
			preset = "required"
		case v.preset != "":
			preset = "`" + v.preset + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, strings.ReplaceAll(v.help, "<", `\<`), preset)
	}
	return b.String()
}

// documentation returns the settings that several commands read, and those that only serve reads.
func (d *Definition) documentation() (shared, rest []setting) {
	common := d.defaults()
	commands := d.commands()
	for _, s := range fields(&common) {
		if s.variable == "DATABASE_URL" {
			s.help += fmt.Sprintf(" (pool_max_conns: default %d, minimum %d)", d.Conns.Default, d.Conns.Least)
		}
		for _, c := range commands {
			if c.reads(s.variable) {
				s.commands = append(s.commands, c.Name)
			}
		}
		if len(s.commands) > 1 {
			shared = append(shared, s)
		} else {
			rest = append(rest, s)
		}
	}
	return shared, append(rest, fields(d.Settings)...)
}

// text returns what the usage says about a setting, without the variable and the commands.
func (s *setting) text() string {
	text := s.help
	if s.secret {
		text = "secret; " + text
	}
	switch {
	case s.required:
		text += "; required"
	case s.preset != "":
		text += " (default " + s.preset + ")"
	}
	return text
}

// writeFlags writes the flags of a command.
func writeFlags(b *strings.Builder, c *Command) {
	if c.Flags == nil {
		return
	}
	c.flagSet().VisitAll(func(f *flag.Flag) {
		argument, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			text += " (default " + f.DefValue + ")"
		}
		if slices.Contains(c.Required, f.Name) {
			text += "; required"
		}
		writeEntry(b, 18, 17, strings.TrimSpace("--"+f.Name+" "+argument), text)
	})
}

// writeEntry writes a name and, in a second column, a text that it wraps.
func writeEntry(b *strings.Builder, indent, column int, name, text string) {
	line := fmt.Sprintf("%*s%-*s", indent, "", column-1, name)
	empty := true // the line has none of the text yet
	if len(name) >= column {
		fmt.Fprintln(b, line)
		line = strings.Repeat(" ", indent+column-1)
	}
	for word := range strings.FieldsSeq(text) {
		if !empty && len(line)+1+len(word) > usageWidth {
			fmt.Fprintln(b, line)
			line = strings.Repeat(" ", indent+column-1)
		}
		line += " " + word
		empty = false
	}
	fmt.Fprintln(b, line)
}
