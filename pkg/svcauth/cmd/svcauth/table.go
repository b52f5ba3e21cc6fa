package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

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

// printable returns s, quoted when it could mislead: an empty string, blank space at an end, or characters that steer a
// terminal.
func printable(s string) string {
	if s == "" || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
