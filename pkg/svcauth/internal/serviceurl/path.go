package serviceurl

import (
	"encoding/hex"
	"strings"
)

const (
	// Unreserved are the characters that no URL has to encode (RFC 3986 section 2.3).
	Unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	segmentSet = Unreserved + "!$&'()*+,=:@"
)

// CleanPath reports whether every router reads path in the same way: it starts with a slash; it has
// no empty, "." or ".." segment, no parameter (";") and no backslash; percent-encodings are in
// upper case, and none stands for a slash, a backslash, a semicolon, a control character or an
// unreserved character. One slash at the end is clean.
func CleanPath(path string) bool {
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

// mayBeEncoded reports whether a clean path may hold c percent-encoded. An unreserved character
// needs no encoding. The others would change the meaning of a path for a router that decodes it
// before it looks for segments and parameters.
func mayBeEncoded(c byte) bool {
	return c >= ' ' && c != 0x7f && strings.IndexByte(Unreserved+`/\;`, c) < 0
}
