package main

import (
	"fmt"
	"slices"
	"strings"
)

// mapFlowchart shows permissions as a Mermaid flowchart.
func mapFlowchart(permissions []permission) string {
	ids := map[string]string{}
	var nodes, edges strings.Builder
	node := func(name, open, end string) string {
		id, ok := ids[name]
		if !ok {
			id = fmt.Sprintf("n%d", len(ids)+1)
			ids[name] = id
			fmt.Fprintf(&nodes, "  %s%s%s%s\n", id, open, mermaidText(shortName(name)), end)
		}
		return id
	}
	for i := range permissions {
		p := &permissions[i]
		var caller string
		if p.users {
			caller = node(p.callerText(), "([", "])")
		} else {
			caller = node(p.caller, "[", "]")
		}
		fmt.Fprintf(&edges, "  %s -->|%s| %s\n", caller, mermaidText(p.label()...), node(p.receiver, "[", "]"))
	}
	return "flowchart LR\n" + nodes.String() + edges.String()
}

// label returns the lines of an edge: the calls, then the subjects.
func (p *permission) label() []string {
	if p.users {
		return p.callLines()
	}
	subjects := []string{"itself"}
	for _, s := range p.subjects {
		subjects = append(subjects, shortName(s))
	}
	lines := append(slices.Clone(p.calls), "for "+strings.Join(subjects, ", "))
	if p.admin {
		lines = append(lines, "with administrative power")
	}
	return lines
}

// shortName returns a URL without its scheme and the slash at its end.
func shortName(url string) string {
	return strings.TrimSuffix(strings.Replace(url, "https://", "", 1), "/")
}

// mermaidText returns lines as the quoted text of a node or an edge. Characters that Mermaid or
// HTML would interpret become entities.
func mermaidText(lines ...string) string {
	escape := strings.NewReplacer("#", "#35;", `"`, "#34;", "&", "#38;", "<", "#60;", ">", "#62;", "`", "#96;")
	escaped := make([]string, 0, len(lines))
	for _, line := range lines {
		escaped = append(escaped, escape.Replace(printable(line)))
	}
	return `"` + strings.Join(escaped, "<br>") + `"`
}
