package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.com/micromachine/pkg/svcauth"
)

// maxInline is the length of the longest body on curl's command line. Linux allows 128 KiB for one
// argument.
const maxInline = 100_000

// url returns the URL that is signed and sent.
func (s *signedCall) url() string {
	return "https://" + s.req.URL.Host + s.req.URL.RequestURI()
}

// curlLine returns a shell command, in one line, with which curl sends the request byte for byte as
// it was signed.
func curlLine(c *call, s *signedCall) string {
	words := []string{"curl"}
	if c.conn.ca != "" {
		words = append(words, "--cacert", c.conn.ca)
	}
	if c.conn.connectTo != "" {
		words = append(words, "--noproxy", "*") // a proxy may not reach these addresses
		for rule := range strings.SplitSeq(c.conn.connectTo, ",") {
			words = append(words, "--connect-to", strings.TrimSpace(rule))
		}
	}
	words = append(words, curlMethod(s)...)
	words = append(words, "--header", svcauth.Header+": "+s.req.Header.Get(svcauth.Header))
	for _, h := range s.headers {
		words = append(words, "--header", h.name+": "+h.value)
	}
	source, data := curlBody(s.body)
	words = append(words, data...)
	words = append(words, curlURL(s)...)
	for i, word := range words {
		words[i] = shellQuote(word)
	}
	return source + strings.Join(words, " ")
}

func curlMethod(s *signedCall) []string {
	switch {
	case s.req.Method == http.MethodHead:
		return []string{"--head"} // with --request HEAD, curl waits for a body
	case s.req.Method == http.MethodGet && !s.body.given:
		return nil
	default:
		return []string{"--request", s.req.Method}
	}
}

// curlURL returns the URL, and the flags with which curl does not rewrite it.
func curlURL(s *signedCall) []string {
	target := s.url()
	var words []string
	if strings.ContainsAny(target, "[]{}") {
		words = append(words, "--globoff")
	}
	if slices.ContainsFunc(strings.Split(s.req.URL.Path, "/"), isDotSegment) {
		words = append(words, "--path-as-is")
	}
	return append(words, target)
}

// isDotSegment reports whether curl would remove the path segment.
func isDotSegment(segment string) bool { return segment == "." || segment == ".." }

// curlBody returns the flag for the body, and the command that pipes the body to curl, if it needs
// one.
func curlBody(body content) (source string, words []string) {
	switch {
	case !body.given:
		return "", nil
	case body.file != "":
		return "", []string{"--data-binary", "@" + body.file}
	case fitsArgument(body.data):
		return "", []string{"--data-binary", string(body.data)}
	default:
		return "printf " + shellQuote(printfFormat(body.data)) + " | ", []string{"--data-binary", "@-"}
	}
}

// fitsArgument reports whether data can be an argument of curl: one line of printable text, and not
// the name of a file.
func fitsArgument(data []byte) bool {
	if len(data) > maxInline || !utf8.Valid(data) || strings.HasPrefix(string(data), "@") {
		return false
	}
	return !strings.ContainsFunc(string(data), func(r rune) bool { return !strconv.IsPrint(r) })
}

// printfFormat returns the format, in printable ASCII, with which the shell's printf prints data.
func printfFormat(data []byte) string {
	var format strings.Builder
	for i, b := range data {
		switch {
		case b == '\n':
			format.WriteString(`\n`)
		case b == '%':
			format.WriteString("%%")
		case b == '\\':
			format.WriteString(`\\`)
		case b < ' ' || b >= 0x7f || i == 0 && b == '-':
			fmt.Fprintf(&format, `\%03o`, b)
		default:
			format.WriteByte(b)
		}
	}
	return format.String()
}

// shellQuote quotes word for a POSIX shell.
func shellQuote(word string) string {
	const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+:,./-_"
	if word != "" && strings.Trim(word, safe) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
