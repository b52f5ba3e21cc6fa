package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

var inspectCommand = command{
	name:    "inspect",
	args:    "[--json] [TOKEN|-]",
	summary: "show what a token says",
	about: `Shows the header and every claim of a token, its times in words, and what kind of token it is. The token is an argument
or comes on standard input; it may be pasted with "JWT: " in front, in quotes, or broken over lines. Nothing is verified:
no key is asked for, and anybody can write a token that says anything.`,
	examples: []string{
		"svcauth inspect eyJhbGciOiJFZERTQSIs…",
		"svcauth inspect 'JWT: eyJhbGciOiJFZERTQSIs…'",
		"svcauth token --key shop.pem … | svcauth inspect --json",
	},
	define: defineInspect,
}

func defineInspect(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "print header, claims, times and remarks as JSON")
	return func(_ context.Context, std stdio, args []string) error {
		text := strings.Join(args, " ")
		if len(args) == 0 || text == "-" {
			var err error
			if text, err = readPaste(std.in); err != nil {
				return err
			}
		}
		t, err := readToken(tokenIn(text), time.Now())
		if err != nil {
			return fmt.Errorf("not a token: %w", err)
		}
		if *asJSON {
			return std.json(t.json())
		}
		return t.write(std.out)
	}
}

// readPaste reads standard input, which is refused when it is far too long for a token.
func readPaste(r io.Reader) (string, error) {
	const most = 1 << 20
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return "", fmt.Errorf("reading standard input: %w", err)
	}
	if len(data) > most {
		return "", fmt.Errorf("more than %d bytes on standard input", most)
	}
	return string(data), nil
}

// tokenIn finds the token in pasted text: what follows the last "JWT:" if there is one, up to a closing quote, joined
// over blank space until a word that can be no part of a token.
func tokenIn(text string) string {
	const quotes = "'\"`"
	for i := len(text) - len("JWT:"); i >= 0; i-- {
		if strings.EqualFold(text[i:i+len("JWT:")], "JWT:") {
			text = text[i+len("JWT:"):]
			break
		}
	}
	text = strings.TrimLeft(text, quotes+" \t\r\n")
	if i := strings.IndexAny(text, quotes); i >= 0 {
		text = text[:i]
	}
	var token strings.Builder
	for word := range strings.FieldsSeq(text) {
		if strings.ContainsFunc(word, notInToken) {
			break
		}
		token.WriteString(word)
	}
	return token.String()
}

// notInToken reports whether r stands in no base64 alphabet and separates no parts of a token.
func notInToken(r rune) bool {
	alphanumeric := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
	return !alphanumeric && !strings.ContainsRune("-_+/=.", r)
}

// kinds explains the kinds of token.
var kinds = map[string]string{
	"bound":   "bound, a service's token for one request",
	"article": "article, a service's token as the article prints it",
	"session": "session, a user's own token",
	"unknown": "unknown",
}

const nothingVerified = "NOTHING WAS VERIFIED. Anybody can write what follows."

func (t *token) write(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n\nkind: %s\n", nothingVerified, kinds[t.kind()])
	writeMembers(&text, "header", t.header)
	writeMembers(&text, "claims", t.claims)
	if len(t.remarks) > 0 {
		text.WriteString("\nremarks\n")
		for _, remark := range t.remarks {
			fmt.Fprintf(&text, "  %s\n", remark)
		}
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

// printable returns s, quoted when it could mislead: an empty string, blank space at an end, or characters that steer a
// terminal.
func printable(s string) string {
	if s == "" || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// tokenReport is what inspect --json prints.
type tokenReport struct {
	Verified bool               `json:"verified"` // always false
	Kind     string             `json:"kind"`
	Header   json.RawMessage    `json:"header"`
	Claims   json.RawMessage    `json:"claims"`
	Times    map[string]instant `json:"times"`
	Remarks  []string           `json:"remarks"`
}

func (t *token) json() tokenReport {
	times := map[string]instant{}
	for _, m := range t.claims {
		if m.at != nil {
			times[m.name] = *m.at
		}
	}
	return tokenReport{
		Kind: t.kind(), Header: t.rawHeader, Claims: t.rawClaims, Times: times, Remarks: append([]string{}, t.remarks...),
	}
}
