// Package logsafe cleans text that callers, issuers or servers control, so that it can be logged.
// It bounds the length of the text, escapes control characters and masks mail addresses.
//
//	log := slog.New(logsafe.NewHandler(slog.NewJSONHandler(os.Stderr, nil)))
//	log.Warn("call refused", "issuer", logsafe.Text(issuer))
//
// A service wraps the handler of its logger with [NewHandler], so that every line is cleaned.
// [Text] cleans a single value.
package logsafe

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The largest lengths in bytes: of one value, and of a whole attribute or message.
const (
	maxText      = 200
	maxAttribute = 2048
)

// mask replaces a mail address, and any other word with an @, such as a password in a URL.
const mask = "(with an @)"

// The parts of the pattern address.
const (
	// at matches an @ in every form in which it may be logged: as it is, in full width,
	// percent-encoded any number of times, and as an escape of JSON, Go or HTML.
	at = `(?:[@＠﹫]|%(?:25)*40|\\+u0040|\\+x40|&#0*64;|&#[xX]0*40;|&commat;)`
	// quoted matches a local part that is a quoted string (RFC 5321 section 4.1.2), also with Go's
	// escapes.
	quoted = `"(?:[^"\\]|\\.)*"|\\"(?:[^"\\]|\\[^"])*\\"`
	// local and domain exclude the characters that separate the words of a text, a path or a query.
	local  = `[^\s/"<>(),;?&=#@＠﹫]+?`
	domain = "[^\\s/\"'`<>(),;?&=#|@＠﹫:]+?"
)

// address matches an @ with the word around it. It also matches the mask, which replaces itself,
// because text may be cleaned twice.
var address = regexp.MustCompile(
	`\(with an @\)|(?:` + quoted + `|` + local + `)?` + at + `(?:` + at + `|` + domain + `)*`)

// Text returns s cleaned for a log: at most 200 bytes of it, with unprintable characters as Go
// escapes, and with "(with an @)" for each mail address, in whatever form its @ is encoded.
func Text(s string) string { return clean(s, maxText) }

func clean(s string, limit int) string {
	cut := false
	if len(s) > 2*limit { // keeps an address that crosses the bound whole
		s, cut = s[:2*limit], true
	}
	if mayHoldAt(s) {
		s = address.ReplaceAllLiteralString(s, mask)
	}
	if strings.ContainsFunc(s, notASCIIText) {
		s = escape(s)
	}
	if len(s) <= limit && !cut {
		return s
	}
	return strings.ToValidUTF8(s[:min(limit, len(s))], "") + "…" // removes an incomplete character at the end
}

// mayHoldAt reports whether s may contain an @ in one of its forms. It is a fast test that saves
// most text the search for addresses.
func mayHoldAt(s string) bool {
	for _, part := range []string{"@", "＠", "﹫", "40", "64;", "&commat;"} {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

func notASCIIText(r rune) bool { return r < ' ' || r > '~' }

// escape replaces unprintable characters and invalid UTF-8 by Go escapes.
func escape(s string) string {
	var b strings.Builder
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		if strconv.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteString(s[:size])
		} else {
			quoted := strconv.Quote(s[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}
