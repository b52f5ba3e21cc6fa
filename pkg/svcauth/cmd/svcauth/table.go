package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A row is a line of a table. A row without label belongs to the row above.
type row struct{ label, value string }

// rowsOf returns a row for each value; the first has the label.
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
	_ = table.Flush() // a strings.Builder returns no errors
}

// commaList joins names with commas.
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

// printable returns s, quoted if it is empty, begins or ends with white space, or has characters
// that a terminal would interpret.
func printable(s string) string {
	unprintable := func(r rune) bool { return !strconv.IsPrint(r) }
	if s == "" || strings.TrimSpace(s) != s || strings.ContainsFunc(s, unprintable) {
		return strconv.Quote(s)
	}
	return s
}
