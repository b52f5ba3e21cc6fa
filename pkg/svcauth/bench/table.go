package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// A row is a formatted line of the table.
type row struct {
	what, figure, allocs, ratio, spread, goal, verdict string
}

const (
	verdictMissed = "MISSED"
	verdictNotRun = "NOT RUN"
)

// A goal is a bound on a ratio or a count. The zero value is no goal.
type goal struct {
	limit float64
	least bool // the limit is a lower bound
}

func atMost(limit float64) goal  { return goal{limit: limit} }
func atLeast(limit float64) goal { return goal{limit: limit, least: true} }

func (g goal) String() string {
	sign := "≤"
	if g.least {
		sign = "≥"
	}
	return fmt.Sprintf("%s %.4g", sign, g.limit)
}

func (g goal) verdict(value float64) string {
	if math.IsNaN(value) || value != g.limit && value > g.limit != g.least {
		return verdictMissed
	}
	return "ok"
}

// withGoal returns the row with a goal, and whether value reaches it.
func (r row) withGoal(value float64, g goal) row {
	if g != (goal{}) {
		r.goal, r.verdict = g.String(), g.verdict(value)
	}
	return r
}

func heading(what string) row { return row{what: what} }

// notRun returns the row of a figure that could not be measured, with the reason.
func notRun(what string, reason error) row {
	return row{what: what, ratio: reason.Error(), verdict: verdictNotRun}
}

// opRow returns the row of a side with the time of an operation.
func (r results) opRow(name string) row {
	return row{
		what:   "  " + name,
		figure: fmt.Sprintf("%.0f ns", r.time(name)),
		allocs: fmt.Sprintf("%.0f", r.allocs(name)),
	}
}

// rateRow returns the row of a side with the rate of its operations.
func (r results) rateRow(name string) row {
	return row{what: "  " + name, figure: fmt.Sprintf("%.0f req/s", 1e9/r.time(name))}
}

// withRatio returns the row with its ratio to another side, whose name is base.
func (r row) withRatio(base string, q ratio, g goal) row {
	r.ratio = fmt.Sprintf("%s × %s", significant(q.median), base)
	r.spread = significant(q.low) + "–" + significant(q.high)
	return r.withGoal(q.median, g)
}

// counted returns the row with a count of allocations and a goal for it. The count is rounded down,
// because the runtime also allocates during a measurement.
func (r row) counted(allocs float64, g goal) row {
	r.allocs = fmt.Sprintf("%.0f", allocs)
	return r.withGoal(float64(int(allocs)), g)
}

// significant formats a ratio. Small ratios get more digits.
func significant(f float64) string {
	if f < 0.1 {
		return fmt.Sprintf("%.4f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

// A table is printed in columns, with an empty line before each heading.
type table []row

func (t table) print(w io.Writer) {
	lines := [][]string{{"", "each", "allocs", "ratio", "spread", "goal", ""}}
	for _, r := range t {
		if r == heading(r.what) {
			lines = append(lines, nil)
		}
		lines = append(lines, []string{r.what, r.figure, r.allocs, r.ratio, r.spread, r.goal, r.verdict})
	}
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var out strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if numeric := i == 1 || i == 2; numeric {
				out.WriteString(pad + cell + "  ")
			} else {
				out.WriteString(cell + pad + "  ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(out.String(), " "))
	}
}

func (t table) missed() (n int) {
	for _, r := range t {
		if r.verdict == verdictMissed {
			n++
		}
	}
	return n
}
