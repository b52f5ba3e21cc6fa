package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The library's README has the commands with their summaries.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("\n|---|---|\n")
	for _, c := range commands {
		fmt.Fprintf(&table, "| `%s` | %s |\n", c.name, c.summary)
	}
	if !strings.Contains(string(readme), table.String()+"\n") {
		t.Errorf("the README should have this table:%s", &table)
	}
}
