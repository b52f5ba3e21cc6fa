// Package logsafe makes text that others choose fit for a log: callers, issuers, servers. Such text
// is bounded, its control characters are escaped, and mail addresses in it are masked.
//
//	log := slog.New(logsafe.NewHandler(slog.NewJSONHandler(os.Stderr, nil)))
//	log.Warn("call refused", "issuer", logsafe.Text(issuer))
//
// A service puts [NewHandler] before the handler of its logger, so that every line passes through
// it. [Text] is for a single value that somebody else chose.
package logsafe

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The length in bytes of what is kept: of one value, and of a whole attribute or message.
const (
	maxText      = 200
	maxAttribute = 2048
)

// mask stands for a mail address, and for all else that holds an @, such as a password in a URL.
const mask = "(with an @)"

// The parts of address.
const (
	// at is an @ in any spelling in which it reaches a log: as it is, in full width, percent-encoded
	// any number of times, and as an escape of JSON, Go or HTML.
	at = `(?:[@＠﹫]|%(?:25)*40|\\+u0040|\\+x40|&#0*64;|&#[xX]0*40;|&commat;)`
	// quoted is a local part that is a quoted string (RFC 5321 section 4.1.2), as it is and in Go's quotes.
	quoted = `"(?:[^"\\]|\\.)*"|\\"(?:[^"\\]|\\[^"])*\\"`
	// local and domain leave out what stands between the words of a text, a path or a query.
	local  = `[^\s/"<>(),;?&=#@＠﹫]+?`
	domain = "[^\\s/\"'`<>(),;?&=#|@＠﹫:]+?"
)

// address matches an @ with the word around it. A mask stands for itself: text may be cleaned twice.
var address = regexp.MustCompile(`\(with an @\)|(?:` + quoted + `|` + local + `)?` + at + `(?:` + at + `|` + domain + `)*`)

// Text returns s in a form that fits a log: at most 200 bytes of it, characters that cannot be
// printed as Go escapes, and "(with an @)" for each mail address, however its @ is encoded.
func Text(s string) string { return clean(s, maxText) }

func clean(s string, most int) string {
	cut := false
	if len(s) > 2*most { // an address that begins before the bound is seen whole
		s, cut = s[:2*most], true
	}
	if mayHoldAt(s) {
		s = address.ReplaceAllLiteralString(s, mask)
	}
	if strings.ContainsFunc(s, notASCIIText) {
		s = escape(s)
	}
	if len(s) <= most && !cut {
		return s
	}
	return strings.ToValidUTF8(s[:min(most, len(s))], "") + "…" // without half a character at the end
}

// mayHoldAt reports whether s may hold an @ in one of its spellings. Most text does not, and is
// spared the search for addresses.
func mayHoldAt(s string) bool {
	for _, part := range []string{"@", "＠", "﹫", "40", "64;", "&commat;"} {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

func notASCIIText(r rune) bool { return r < ' ' || r > '~' }

// escape writes what cannot be printed, and bytes that are not UTF-8, as Go escapes.
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
