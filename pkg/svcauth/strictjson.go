package svcauth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on the JSON of a token, checked before anything is decoded. They keep the work spent on a stranger's bytes small.
const (
	maxJSONDepth   = 8
	maxJSONMembers = 64
)

// A member is one name of a JSON object with its value, still as it was sent.
type member struct {
	name string
	raw  []byte
}

// text returns the member's value, which must be a JSON string.
func (m member) text() (string, error) {
	if m.raw[0] != '"' {
		return "", fmt.Errorf("%q is not a string", m.name)
	}
	s := jsonScanner{data: m.raw}
	return s.string()
}

// seconds returns the member's value, which must be a whole number of seconds that every JSON reader reads alike:
// digits alone, no sign, fraction or exponent, below 2^53.
func (m member) seconds() (int64, error) {
	n, err := strconv.ParseUint(string(m.raw), 10, 53)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number of seconds", m.name)
	}
	return int64(n), nil
}

// scanObject checks that data is exactly one JSON object (RFC 8259) which no two readers can understand differently:
// valid UTF-8, no duplicate names at any depth, no lone surrogates, at most maxJSONDepth deep. It returns the members
// in the order sent.
func scanObject(data []byte) ([]member, error) {
	s := jsonScanner{data: data}
	s.space()
	if s.peek() != '{' {
		return nil, errors.New("not a JSON object")
	}
	members, err := s.object(1)
	if err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(s.data) {
		return nil, errors.New("data after the JSON object")
	}
	return members, nil
}

// A jsonScanner walks over JSON text once, without recursion deeper than maxJSONDepth.
type jsonScanner struct {
	data []byte
	pos  int
}

// peek returns the byte at the scanner's position, or 0 at the end, which is valid nowhere in JSON.
func (s *jsonScanner) peek() byte {
	if s.pos == len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

func (s *jsonScanner) space() {
	for s.pos < len(s.data) && strings.IndexByte(" \t\r\n", s.data[s.pos]) >= 0 {
		s.pos++
	}
}

// expect moves past c and the white space around it.
func (s *jsonScanner) expect(c byte) error {
	s.space()
	if s.peek() != c {
		return fmt.Errorf("%q expected at byte %d", c, s.pos)
	}
	s.pos++
	s.space()
	return nil
}

func (s *jsonScanner) value(depth int) error {
	switch c := s.peek(); {
	case c == '{':
		_, err := s.object(depth + 1)
		return err
	case c == '[':
		return s.array(depth + 1)
	case c == '"':
		_, err := s.string()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	default:
		return s.literal()
	}
}

func (s *jsonScanner) object(depth int) ([]member, error) {
	if depth > maxJSONDepth {
		return nil, errors.New("nested too deep")
	}
	s.pos++
	s.space()
	if s.peek() == '}' {
		s.pos++
		return nil, nil
	}
	members := make([]member, 0, 12)
	for {
		m, err := s.member(depth)
		if err != nil {
			return nil, err
		}
		for _, seen := range members {
			if seen.name == m.name {
				return nil, fmt.Errorf("duplicate name %q", clip(m.name))
			}
		}
		if members = append(members, m); len(members) > maxJSONMembers {
			return nil, errors.New("too many names in one object")
		}
		s.space()
		if s.peek() == '}' {
			s.pos++
			return members, nil
		}
		if err := s.expect(','); err != nil {
			return nil, err
		}
	}
}

func (s *jsonScanner) member(depth int) (member, error) {
	if s.peek() != '"' {
		return member{}, fmt.Errorf("name expected at byte %d", s.pos)
	}
	name, err := s.string()
	if err != nil {
		return member{}, err
	}
	if err := s.expect(':'); err != nil {
		return member{}, err
	}
	start := s.pos
	if err := s.value(depth); err != nil {
		return member{}, err
	}
	return member{name: name, raw: s.data[start:s.pos]}, nil
}

func (s *jsonScanner) array(depth int) error {
	if depth > maxJSONDepth {
		return errors.New("nested too deep")
	}
	s.pos++
	s.space()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := s.value(depth); err != nil {
			return err
		}
		s.space()
		if s.peek() == ']' {
			s.pos++
			return nil
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}

func (s *jsonScanner) literal() error {
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(string(s.data[s.pos:min(len(s.data), s.pos+len(word))]), word) {
			s.pos += len(word)
			return nil
		}
	}
	return fmt.Errorf("value expected at byte %d", s.pos)
}

func (s *jsonScanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if s.digits() == 0 {
		return fmt.Errorf("digit expected at byte %d", s.pos)
	}
	if s.peek() == '.' {
		s.pos++
		if s.digits() == 0 {
			return fmt.Errorf("digit expected at byte %d", s.pos)
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			return fmt.Errorf("digit expected at byte %d", s.pos)
		}
	}
	return nil
}

func (s *jsonScanner) digits() int {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos - start
}

// string moves past a JSON string and returns what it says, escapes resolved.
func (s *jsonScanner) string() (string, error) {
	s.pos++
	start := s.pos
	var decoded []byte // nil until the first escape
	for {
		switch c := s.peek(); {
		case c == '"':
			text := s.data[start:s.pos]
			s.pos++
			if decoded != nil {
				text = append(decoded, text...)
			}
			return string(text), nil
		case c == '\\':
			decoded = append(decoded, s.data[start:s.pos]...)
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			decoded = utf8.AppendRune(decoded, r)
			start = s.pos
		case c < 0x20:
			return "", fmt.Errorf("control character or end inside a string at byte %d", s.pos)
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return "", errors.New("invalid UTF-8")
			}
			s.pos += size
		}
	}
}

// escape moves past one escape sequence, or past the two of a surrogate pair.
func (s *jsonScanner) escape() (rune, error) {
	s.pos++
	c := s.peek()
	if c == 'u' {
		return s.unicodeEscape()
	}
	i := strings.IndexByte(`"\/bfnrt`, c)
	if i < 0 {
		return 0, fmt.Errorf("unknown escape at byte %d", s.pos)
	}
	s.pos++
	return rune("\"\\/\b\f\n\r\t"[i]), nil
}

func (s *jsonScanner) unicodeEscape() (rune, error) {
	r, err := s.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if s.peek() != '\\' {
		return 0, errors.New("lone surrogate")
	}
	s.pos++
	if s.peek() != 'u' {
		return 0, errors.New("lone surrogate")
	}
	low, err := s.hex4()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, errors.New("lone surrogate")
	}
	return r, nil
}

// hex4 moves past the u of an escape and its four hexadecimal digits.
func (s *jsonScanner) hex4() (rune, error) {
	s.pos++
	if s.pos+4 > len(s.data) {
		return 0, errors.New("short \\u escape")
	}
	n, err := strconv.ParseUint(string(s.data[s.pos:s.pos+4]), 16, 16)
	if err != nil {
		return 0, errors.New("bad \\u escape")
	}
	s.pos += 4
	return rune(n), nil
}
