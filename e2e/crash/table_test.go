package crash_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A table is printed as Markdown.
type table struct {
	columns []string
	rows    [][]string
}

func newTable(columns ...string) *table { return &table{columns: columns} }

func (t *table) add(name string, cells ...string) {
	t.rows = append(t.rows, append([]string{name}, cells...))
}

// print prints the table under a title to standard output in a full run, and to the test's log
// otherwise.
func (t *table) print(tb testing.TB, title string) {
	tb.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n| %s |\n|%s\n", title, strings.Join(t.columns, " | "),
		strings.Repeat("---|", len(t.columns)))
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	if *full {
		fmt.Fprint(os.Stdout, b.String())
	} else {
		tb.Log(b.String())
	}
}

// String returns the text of a cell: the number of notifications, of those marked as possible
// duplicates, and of mails sent twice. Forbidden results follow.
func (t tally) String() string {
	s := fmt.Sprintf("%d: %d marked, %d doubled", t.Notifications, t.Marked, t.Doubled)
	for _, fault := range []struct {
		n    int
		name string
	}{
		{t.Failed, "failed"},
		{t.Lost, "LOST"},
		{t.Silent, "DOUBLED SILENTLY"},
		{t.Extra, "NOT REQUESTED"},
		{t.Errors, "status 500"},
	} {
		if fault.n > 0 {
			s += fmt.Sprintf(", %d %s", fault.n, fault.name)
		}
	}
	return s
}
