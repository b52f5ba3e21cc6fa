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
	args:    "[--json] [--trust FILE [--audience URL] [FLAG…]] [TOKEN|-]",
	summary: "show what a token says, and what a trust file would say of it",
	about: `Shows the header and every claim of a token, its times in words, and what kind of token it is. The token is an argument
or comes on standard input; it may be pasted with "JWT: " in front, in quotes, or broken over lines. Nothing is verified:
no key is asked for, and anybody can write a token that says anything.

With --trust, says what a receiver with that trust file would say of the token now, and why; the first line then tells what
was verified and what was not. The receiver is that of --audience, or the token's own aud. The request is what the token
says, or --method and --url; where neither tells, as with article tokens, all other checks are made. Where the token covers
a body and none is given, the checks before it are made. Keys that the trust file says to discover are fetched, with --ca
and --connect-to. Whether the token was used before is not known here. The exit status is 0 whatever the verdict is:
"svcauth verify" is the command for scripts.`,
	examples: []string{
		"svcauth inspect eyJhbGciOiJFZERTQSIs…",
		"svcauth inspect 'JWT: eyJhbGciOiJFZERTQSIs…'",
		"svcauth token --key shop.pem … | svcauth inspect --json",
		"svcauth inspect --trust trust.yaml --audience https://census.service/ eyJhbGciOiJFZERTQSIs…",
	},
	define: defineInspect,
}

func defineInspect(fs *flag.FlagSet) action {
	var t trial
	t.define(fs)
	fs.StringVar(&t.audience, "audience", "", "the receiver's name, its base `URL`; by default what the token says (aud)")
	asJSON := fs.Bool("json", false, "print header, claims, times, remarks and verdict as JSON")
	return func(ctx context.Context, std stdio, args []string) error {
		if t.trust == "" && fs.NFlag() > 0 && (fs.NFlag() > 1 || !*asJSON) {
			return usagef("without --trust, --json is the only flag")
		}
		if err := t.check(); err != nil {
			return err
		}
		compact, body, err := t.readInput(std, args)
		if err != nil {
			return err
		}
		read, err := readToken(compact, time.Now())
		if err != nil {
			return fmt.Errorf("not a token: %w", err)
		}
		v, err := t.inspect(ctx, compact, read, body)
		if err != nil {
			return err
		}
		if *asJSON {
			return std.json(read.json(v))
		}
		return read.write(std.out, v)
	}
}

// inspect asks for the verdict on a token, as far as one is wanted.
func (t *trial) inspect(ctx context.Context, compact string, read *token, body content) (*verdict, error) {
	if t.trust == "" {
		return nil, nil //nolint:nilnil // no verdict is one of the answers
	}
	if t.lacksRequest(read) && (t.method != "" || t.url != "") {
		return nil, errNoRequest()
	}
	if t.audience == "" {
		t.audience, t.assumed = read.says("aud"), true
	}
	return t.judge(ctx, compact, read, body)
}

// fromStdin reports whether the token is to come on standard input.
func fromStdin(args []string) bool { return len(args) == 0 || len(args) == 1 && args[0] == "-" }

// readCompact returns the token among the arguments or on standard input.
func readCompact(std stdio, args []string) (string, error) {
	if !fromStdin(args) {
		return tokenIn(strings.Join(args, " ")), nil
	}
	text, err := readPaste(std.in)
	return tokenIn(text), err
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
