package trust

import (
	"fmt"
	"net/http"
	"strings"

	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
)

// A pathPattern matches paths segment by segment: "*" matches any one segment, another segment only
// itself. A slash at the end, of the pattern or of the path, makes no difference.
type pathPattern []string

func parsePathPattern(pattern string) (pathPattern, error) {
	if pattern != "/" && !serviceurl.CleanPath(strings.ReplaceAll(pattern, "*", "x")) {
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
	if path != "/" && !serviceurl.CleanPath(path) {
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

// A callPattern is a trust file's "allow" line, such as "GET /user/*": a method and the paths that
// it may be used on. GET allows HEAD, too, which returns less of the same.
type callPattern struct {
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
	return callPattern{method, pattern}, nil
}

func (p callPattern) match(method, path string) bool {
	return (method == p.method || method == http.MethodHead && p.method == http.MethodGet) && p.path.match(path)
}

// A subjectPattern is a trust file's "act_for" line, such as "https://census.service/user/*". The
// origin is compared byte for byte, so that no user info, port, case or encoding in a subject can
// widen it.
type subjectPattern struct {
	origin string
	path   pathPattern
}

func parseSubjectPattern(line string) (subjectPattern, error) {
	base := serviceurl.Origin(line)
	rest, ok := strings.CutPrefix(line, base)
	switch {
	case !ok:
		return subjectPattern{}, fmt.Errorf("%q is not an https URL", line)
	case strings.Contains(base, "*"):
		return subjectPattern{}, fmt.Errorf("%q has a * in its host", line)
	case strings.ContainsAny(line, "?#"):
		return subjectPattern{}, fmt.Errorf("%q has a query or a fragment", line)
	}
	if err := serviceurl.Check(base + "/"); err != nil {
		return subjectPattern{}, err
	}
	path, err := parsePathPattern(rest)
	if err != nil {
		return subjectPattern{}, err
	}
	return subjectPattern{base, path}, nil
}

func (p subjectPattern) match(subject string) bool {
	path, ok := strings.CutPrefix(subject, p.origin)
	return ok && p.path.match(path)
}
