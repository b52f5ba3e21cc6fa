package svcauth_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth"
)

// The README's table of checks agrees with the table of attacks: it has the same checks in the same
// order, with the statuses and the number of attacks that each refuses.
func TestReadmeChecks(t *testing.T) {
	t.Parallel()
	attacked := map[svcauth.Check]int{}
	statuses := map[svcauth.Check][]string{}
	for _, a := range attacks() {
		attacked[a.check]++
		if status := strconv.Itoa(a.status); !slices.Contains(statuses[a.check], status) {
			statuses[a.check] = append(statuses[a.check], status)
		}
	}
	var want, got []string
	for _, check := range svcauth.Checks() {
		slices.Sort(statuses[check])
		want = append(want, fmt.Sprintf("| `%s` | %s | %d |", check, strings.Join(statuses[check], ", "), attacked[check]))
	}
	for line := range strings.Lines(section(t, "## What each check refuses")) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); strings.HasPrefix(line, "| `") && len(cells) == 4 {
			got = append(got, strings.Join(slices.Delete(cells, 1, 2), " | "))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table has\n%s\nand should have\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The README names every CVE and every RFC that an attack is taken from, and no other, and counts
// the attacks.
func TestReadmeSources(t *testing.T) {
	t.Parallel()
	table := attacks()
	var named []string
	for _, a := range table {
		for source := range strings.SplitSeq(a.source, ", ") {
			if strings.HasPrefix(source, "RFC ") {
				source, _, _ = strings.Cut(source, " §")
			}
			if (strings.HasPrefix(source, "RFC ") || strings.HasPrefix(source, "CVE-")) && !slices.Contains(named, source) {
				named = append(named, source)
			}
		}
	}
	slices.Sort(named)
	want := fmt.Sprintf("%d attacks, from %s,", len(table), strings.Join(named, ", "))
	text := strings.Join(strings.Fields(section(t, "## What each check refuses")), " ")
	if !strings.Contains(text, want) {
		t.Errorf("the section should have:\n%s", want)
	}
}

// The Go code of the main README and of the package's README is part of tests that run it. Lines
// that check an error are left out of the comparison.
func TestReadmeCode(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, file := range []string{"quickstart_test.go", "example_test.go"} {
		tests.WriteString(code(readFile(t, file)))
	}
	for _, file := range []string{"../../README.md", "README.md"} {
		blocks := strings.Split(readFile(t, file), "```go\n")[1:]
		if len(blocks) == 0 {
			t.Errorf("%s has no Go code", file)
		}
		for _, block := range blocks {
			block, _, _ = strings.Cut(block, "```")
			if !strings.Contains(tests.String(), code(block)) {
				t.Errorf("%s: no test has this code:\n%s", file, block)
			}
		}
	}
}

// code returns Go code without indentation, empty lines and lines that check an error.
func code(source string) string {
	var lines strings.Builder
	for line := range strings.Lines(source) {
		if line = strings.TrimSpace(line); line != "" && line != "check(err)" {
			lines.WriteString(line + "\n")
		}
	}
	return lines.String()
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// section returns a section of the README, up to the next heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(readFile(t, "README.md"), heading+"\n")
	if !ok {
		t.Fatalf("no section %q", heading)
	}
	text, _, _ := strings.Cut(rest, "\n#")
	return text
}
