package main

import (
	"bytes"
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

// nothingVerified is the headline of a token without a verdict.
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
		fmt.Fprintf(table, "  %s\t%s\n", printable(m.json.Name), m.display())
	}
	_ = table.Flush() // a strings.Builder returns no errors
}

// display returns the member's value for a terminal: a time with words, the text of a string, any
// other value as JSON.
func (m member) display() string {
	if m.at != nil {
		return m.at.String()
	}
	if text, err := m.json.Text(); err == nil {
		return printable(text)
	}
	return printable(m.json.Raw)
}

// tokenReport is what inspect --json prints.
type tokenReport struct {
	Verified bool               `json:"verified"` // a trust file lets the token in, by all checks but replay
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
			times[m.json.Name] = *m.at
		}
	}
	return tokenReport{
		Verified: v != nil && v.Verdict == letIn, Trust: v,
		Kind: t.kind(), Hash: t.hash, Header: validUTF8(t.read.Header), Claims: validUTF8(t.read.Claims), Times: times,
		Remarks: append([]string{}, t.remarks...),
	}
}

// validUTF8 returns JSON with U+FFFD for each sequence of bytes that is not UTF-8.
func validUTF8(data json.RawMessage) json.RawMessage {
	return bytes.ToValidUTF8(data, []byte("\uFFFD"))
}
