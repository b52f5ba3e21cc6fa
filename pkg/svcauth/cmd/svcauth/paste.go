package main

import (
	"fmt"
	"io"
	"strings"
)

// fromStdin reports whether the token is read from standard input.
func fromStdin(args []string) bool { return len(args) == 0 || len(args) == 1 && args[0] == "-" }

// readCompact returns the token among the arguments or on standard input.
func readCompact(std stdio, args []string) (string, error) {
	if !fromStdin(args) {
		return tokenIn(strings.Join(args, " ")), nil
	}
	text, err := readPaste(std.in)
	return tokenIn(text), err
}

// readPaste reads at most 1 MiB from standard input.
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

// tokenIn returns the token in pasted text: the text after the last "JWT:", if there is one, up to
// a quote or to a word that cannot be part of a token, without white space.
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

// notInToken reports whether r is in no base64 alphabet and does not separate parts of a token.
func notInToken(r rune) bool {
	alphanumeric := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
	return !alphanumeric && !strings.ContainsRune("-_+/=.", r)
}
