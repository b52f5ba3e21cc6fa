package main

import (
	"fmt"
	"strings"
)

// mapText shows permissions as paragraphs.
func mapText(permissions []permission) string {
	var text strings.Builder
	for i := range permissions {
		p := &permissions[i]
		if i > 0 {
			text.WriteString("\n")
		}
		fmt.Fprintf(&text, "%s may call %s\n", printable(p.callerText()), printable(p.receiver))
		writeRows(&text, append(rowsOf("calls", p.callLines()), rowsOf("in the name of", p.nameLines())...))
	}
	return text.String()
}

func (p *permission) callerText() string {
	if p.users {
		return "users of " + p.caller
	}
	return p.caller
}

func (p *permission) callLines() []string {
	if p.users {
		return []string{"any, with a session token"}
	}
	return p.calls
}

// nameLines returns the subjects in whose name the caller may act.
func (p *permission) nameLines() []string {
	if p.users {
		return []string{"themselves"}
	}
	names := append([]string{"itself"}, p.subjects...)
	if p.admin {
		names = append(names, "with the administrative power of each")
	}
	return names
}
