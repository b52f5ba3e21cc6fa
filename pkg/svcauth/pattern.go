package svcauth

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// A pathPattern matches paths segment by segment: a segment stands for itself, "*" for any one segment. A slash at the
// end, of the pattern or of the path, makes no difference.
type pathPattern []string

func parsePathPattern(pattern string) (pathPattern, error) {
	if pattern != "/" && !cleanPath(strings.ReplaceAll(pattern, "*", "x")) {
		return nil, fmt.Errorf("%q is not a clean path that starts with a slash", pattern)
	}
	var segments pathPattern
	for s := range strings.FieldsFuncSeq(pattern, func(r rune) bool { return r == '/' }) {
		if s != "*" && strings.Contains(s, "*") {
			return nil, fmt.Errorf("in %q, a * must stand for a whole segment", pattern)
		}
		segments = append(segments, s)
	}
	return segments, nil
}

func (p pathPattern) match(path string) bool {
	if path != "/" && !cleanPath(path) {
		return false
	}
	rest := strings.Trim(path, "/")
	for _, segment := range p {
		var s string
		if s, rest, _ = strings.Cut(rest, "/"); s == "" || segment != "*" && segment != s {
			return false
		}
	}
	return rest == ""
}

// cleanPath reports whether every router reads path alike: it starts with a slash, has no empty, "." or ".." segment, no
// parameter (";"), no backslash, and percent-encodes in upper case, and of these and of control characters, slashes and
// unreserved characters (RFC 3986 section 2.3) none. One slash at the end is clean.
func cleanPath(path string) bool {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	for s := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), "/") {
		if s == "" || s == "." || s == ".." || !cleanSegment(s) {
			return false
		}
	}
	return true
}

const (
	unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	segmentSet = unreserved + "!$&'()*+,=:@"
)

func cleanSegment(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			if strings.IndexByte(segmentSet, s[i]) < 0 {
				return false
			}
			continue
		}
		if i+2 >= len(s) {
			return false
		}
		digits := s[i+1 : i+3]
		decoded, err := hex.DecodeString(digits)
		if err != nil || digits != strings.ToUpper(digits) || !mayBeEncoded(decoded[0]) {
			return false
		}
		i += 2
	}
	return true
}

// mayBeEncoded reports whether a path may hold c percent-encoded: neither what nobody needs to encode, nor what would mean
// something else to whoever decodes it before looking for segments and parameters.
func mayBeEncoded(c byte) bool {
	return c >= ' ' && c != 0x7f && strings.IndexByte(unreserved+`/\;`, c) < 0
}

// A callPattern is a trust file's "allow" line, such as "GET /user/*": a method and the paths it may be used on. GET
// allows HEAD too, which asks for the same with less of an answer.
type callPattern struct {
	text   string // as the trust file has it
	method string
	path   pathPattern
}

func parseCallPattern(line string) (callPattern, error) {
	method, path, ok := strings.Cut(line, " ")
	if !ok || method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return callPattern{}, fmt.Errorf("%q is not a method in capitals, a space and a path", line)
	}
	pattern, err := parsePathPattern(path)
	if err != nil {
		return callPattern{}, err
	}
	return callPattern{line, method, pattern}, nil
}

func (p callPattern) match(method, path string) bool {
	return (method == p.method || method == http.MethodHead && p.method == http.MethodGet) && p.path.match(path)
}

// A subjectPattern is a trust file's "act_for" line, such as "https://census.service/user/*". The origin stands for
// itself, byte for byte, so that no user info, port, case or encoding in a subject can widen it.
type subjectPattern struct {
	text   string // as the trust file has it
	origin string
	path   pathPattern
}

func parseSubjectPattern(line string) (subjectPattern, error) {
	base := origin(line)
	rest, ok := strings.CutPrefix(line, base)
	switch {
	case !ok:
		return subjectPattern{}, fmt.Errorf("%q is not an https URL", line)
	case strings.Contains(base, "*"):
		return subjectPattern{}, fmt.Errorf("%q has a * in its host", line)
	case strings.ContainsAny(line, "?#"):
		return subjectPattern{}, fmt.Errorf("%q has a query or a fragment", line)
	}
	if err := checkServiceName(base + "/"); err != nil {
		return subjectPattern{}, err
	}
	path, err := parsePathPattern(rest)
	if err != nil {
		return subjectPattern{}, err
	}
	return subjectPattern{line, base, path}, nil
}

func (p subjectPattern) match(subject string) bool {
	path, ok := strings.CutPrefix(subject, p.origin)
	return ok && p.path.match(path)
}
