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

// maxInline is the longest body that goes on curl's command line: Linux takes at most 128 KiB for one argument.
const maxInline = 100_000

// url returns the URL as it is signed and sent.
func (s *signedCall) url() string {
	return "https://" + s.req.URL.Host + s.req.URL.RequestURI()
}

// curlLine returns the one-line shell command that makes curl send the signed request, byte for byte what was signed.
func curlLine(c *call, s *signedCall) string {
	words := []string{"curl"}
	if c.ca != "" {
		words = append(words, "--cacert", c.ca)
	}
	if c.connectTo != "" {
		words = append(words, "--noproxy", "*") // a proxy could not reach what --connect-to means
		for rule := range strings.SplitSeq(c.connectTo, ",") {
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

// curlURL returns the URL, and the flags that keep curl from rewriting it.
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

// isDotSegment reports whether curl would resolve the path segment away.
func isDotSegment(segment string) bool { return segment == "." || segment == ".." }

// curlBody returns the flag that gives curl the body, and the command before curl that feeds it, if it takes one.
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

// fitsArgument reports whether curl and the shell take data for what it is: on one line, no file name.
func fitsArgument(data []byte) bool {
	if len(data) > maxInline || !utf8.Valid(data) || strings.HasPrefix(string(data), "@") {
		return false
	}
	return !strings.ContainsFunc(string(data), func(r rune) bool { return !strconv.IsPrint(r) })
}

// printfFormat returns the format for which the shell's printf prints data, in printable ASCII.
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

// shellQuote returns word as a POSIX shell reads it back.
func shellQuote(word string) string {
	const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+:,./-_"
	if word != "" && strings.Trim(word, safe) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
