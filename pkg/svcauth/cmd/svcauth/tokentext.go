package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// kinds explains the kinds of token.
var kinds = map[string]string{
	kindBound:   "bound, a service's token for one request",
	kindArticle: "article, a service's token as the article prints it",
	kindSession: "session, a user's own token",
	kindUnknown: "unknown",
}

const nothingVerified = "NOTHING WAS VERIFIED. Anybody can write what follows."

// write shows the token, and the verdict on it if there is one.
func (t *token) write(w io.Writer, v *verdict) error {
	headline := nothingVerified
	if v != nil {
		headline = v.headline()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n\nkind: %s\nhash: %s, in logs\n", headline, kinds[t.kind()], t.hash)
	writeMembers(&text, "header", t.header)
	writeMembers(&text, "claims", t.claims)
	if len(t.remarks) > 0 {
		text.WriteString("\nremarks\n")
		for _, remark := range t.remarks {
			fmt.Fprintf(&text, "  %s\n", remark)
		}
	}
	if v != nil {
		v.write(&text)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func writeMembers(text *strings.Builder, title string, members []member) {
	fmt.Fprintf(text, "\n%s\n", title)
	table := tabwriter.NewWriter(text, 0, 0, 3, ' ', 0)
	for _, m := range members {
		fmt.Fprintf(table, "  %s\t%s\n", printable(m.name), m.display())
	}
	_ = table.Flush() // a strings.Builder takes everything
}

// display returns the member's value for a terminal: a time in words, a string as it is, anything else as JSON.
func (m member) display() string {
	if m.at != nil {
		return m.at.String()
	}
	var s string
	if json.Unmarshal(m.raw, &s) == nil && string(m.raw) != "null" {
		return printable(s)
	}
	return printable(string(m.raw))
}

// tokenReport is what inspect --json prints.
type tokenReport struct {
	Verified bool               `json:"verified"` // that a trust file lets the token in, with nothing left unchecked but replay
	Kind     string             `json:"kind"`
	Hash     string             `json:"token_sha256"` // as in logs
	Header   json.RawMessage    `json:"header"`
	Claims   json.RawMessage    `json:"claims"`
	Times    map[string]instant `json:"times"`
	Remarks  []string           `json:"remarks"`
	Trust    *verdict           `json:"trust,omitempty"`
}

func (t *token) json(v *verdict) tokenReport {
	times := map[string]instant{}
	for _, m := range t.claims {
		if m.at != nil {
			times[m.name] = *m.at
		}
	}
	return tokenReport{
		Verified: v != nil && v.Verdict == letIn, Trust: v,
		Kind: t.kind(), Hash: t.hash, Header: t.rawHeader, Claims: t.rawClaims, Times: times, Remarks: append([]string{}, t.remarks...),
	}
}
