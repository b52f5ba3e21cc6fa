// Package strictjson parses JSON objects that every JSON parser reads in the same way, and rejects
// all others.
package strictjson

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The bounds of [Object]. They limit the work that unauthenticated bytes can cause.
const (
	maxDepth   = 8
	maxMembers = 64  // of one object
	maxValues  = 256 // in all, at any depth
)

// maxReadDepth is the bound of [Read], whose recursion is as deep as the data.
const maxReadDepth = 1000

// A Member is one name of a JSON object with its value, still as it was sent.
type Member struct {
	Name string
	Raw  string
	text string // the decoded Raw, if it is a string
}

// Text returns the member's value, which must be a JSON string.
func (m Member) Text() (string, error) {
	if m.Raw[0] != '"' {
		return "", fmt.Errorf("%q is not a string", m.Name)
	}
	return m.text, nil
}

// Seconds returns the member's value, which must be a whole number of seconds that every JSON
// parser reads in the same way: only digits, without sign, fraction or exponent, below 2^53.
func (m Member) Seconds() (int64, error) {
	n, err := strconv.ParseUint(m.Raw, 10, 53)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number of seconds", m.Name)
	}
	return int64(n), nil
}

// Object checks that data is exactly one JSON object (RFC 8259) that every parser reads in the same
// way: valid UTF-8, no duplicate names at any depth, no lone surrogates, at most maxDepth deep, at
// most maxValues values. It returns the members in the order sent, as parts of data. It checks the
// values inside a member's value, and does not return them.
func Object(data string) ([]Member, error) {
	s := scanner{data: data, names: make([]string, 0, 12)}
	return s.document()
}

// Read parses data as [Object] does, but continues after what Object rejects, as long as data is a
// JSON object. The faults are the errors of Object, each once, and the first is the error that
// Object returns. Read shows the content of a rejected object. No decision may depend on it.
func Read(data string) (members []Member, faults []error, err error) {
	s := scanner{data: data, faults: &faults}
	members, err = s.document()
	return members, faults, err
}

// The errors of Object for well-formed JSON, other than that for duplicate names.
var (
	errTooDeep       = errors.New("nested too deep")
	errTooManyNames  = errors.New("too many names in one object")
	errTooManyValues = errors.New("too many values")
	errInvalidUTF8   = errors.New("invalid UTF-8")
	errLoneSurrogate = errors.New("lone surrogate")
)

// A scanner parses JSON text once. Its recursion is at most maxDepth deep, for Read maxReadDepth.
type scanner struct {
	data    string
	pos     int
	values  int      // passed so far
	names   []string // passed so far, of each object around the position, the outermost first
	decoded []byte   // the last string, if it has escapes
	faults  *[]error // of Read; nil for Object
}

// document moves past all of the data, which is one object.
func (s *scanner) document() ([]Member, error) {
	s.space()
	if s.peek() != '{' {
		return nil, errors.New("not a JSON object")
	}
	members := make([]Member, 0, 12)
	if err := s.object(1, &members); err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(s.data) {
		return nil, errors.New("data after the JSON object")
	}
	return members, nil
}

// reject returns err, which ends Object. For Read it records err and returns nil.
func (s *scanner) reject(err error) error {
	if s.faults == nil {
		return err
	}
	known := func(fault error) bool { return fault.Error() == err.Error() }
	if !slices.ContainsFunc(*s.faults, known) && len(*s.faults) < maxMembers {
		*s.faults = append(*s.faults, err)
	}
	return nil
}

// checkDepth checks the depth of an object or an array.
func (s *scanner) checkDepth(depth int) error {
	switch {
	case depth > maxReadDepth:
		return errTooDeep
	case depth > maxDepth:
		return s.reject(errTooDeep)
	default:
		return nil
	}
}

// peek returns the byte at the scanner's position, or 0 at the end, which is valid nowhere in JSON.
func (s *scanner) peek() byte {
	if s.pos == len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// expect moves past c and the white space around it.
func (s *scanner) expect(c byte) error {
	s.space()
	if s.peek() != c {
		return fmt.Errorf("%q expected at byte %d", c, s.pos)
	}
	s.pos++
	s.space()
	return nil
}

// value moves past a value. It reports whether the value is a string with escapes.
func (s *scanner) value(depth int) (escaped bool, err error) {
	s.values++
	if s.values > maxValues {
		if err := s.reject(errTooManyValues); err != nil {
			return false, err
		}
	}
	switch c := s.peek(); {
	case c == '{':
		err = s.object(depth+1, nil)
	case c == '[':
		err = s.array(depth + 1)
	case c == '"':
		escaped, err = s.string()
	case c == '-' || c >= '0' && c <= '9':
		err = s.number()
	default:
		err = s.literal()
	}
	return escaped, err
}

// object moves past an object and appends its members to members, which is nil for a nested object.
func (s *scanner) object(depth int, members *[]Member) error {
	if err := s.checkDepth(depth); err != nil {
		return err
	}
	s.pos++
	s.space()
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	outer := len(s.names)
	for {
		name, err := s.name(outer)
		if err != nil {
			return err
		}
		if err := s.member(depth, name, members); err != nil {
			return err
		}
		s.space()
		if s.peek() == '}' {
			s.pos++
			s.names = s.names[:outer]
			return nil
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}

// name moves past a member's name and the colon, and adds the name to those of its object, which
// begin at first.
func (s *scanner) name(first int) (string, error) {
	if s.peek() != '"' {
		return "", fmt.Errorf("name expected at byte %d", s.pos)
	}
	start := s.pos
	escaped, err := s.string()
	if err != nil {
		return "", err
	}
	name := s.text(s.data[start:s.pos], escaped)
	if err := s.checkName(first, name); err != nil {
		return "", err
	}
	return name, s.expect(':')
}

// checkName adds a name to those of its object, which begin at first.
func (s *scanner) checkName(first int, name string) error {
	if slices.Contains(s.names[first:], name) {
		return s.reject(fmt.Errorf("duplicate name %.200q", name))
	}
	if len(s.names)-first == maxMembers {
		return s.reject(errTooManyNames)
	}
	s.names = append(s.names, name)
	return nil
}

// member moves past a member's value and appends the member to members, unless that is nil.
func (s *scanner) member(depth int, name string, members *[]Member) error {
	start := s.pos
	escaped, err := s.value(depth)
	if err != nil || members == nil {
		return err
	}
	m := Member{Name: name, Raw: s.data[start:s.pos]}
	if m.Raw[0] == '"' {
		m.text = s.text(m.Raw, escaped)
	}
	*members = append(*members, m)
	return nil
}

func (s *scanner) array(depth int) error {
	if err := s.checkDepth(depth); err != nil {
		return err
	}
	s.pos++
	s.space()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if _, err := s.value(depth); err != nil {
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

func (s *scanner) literal() error {
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(s.data[s.pos:], word) {
			s.pos += len(word)
			return nil
		}
	}
	return fmt.Errorf("value expected at byte %d", s.pos)
}

func (s *scanner) number() error {
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

func (s *scanner) digits() int {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos - start
}

// text returns the decoded form of the JSON string that the scanner has just passed.
func (s *scanner) text(raw string, escaped bool) string {
	if escaped {
		return string(s.decoded)
	}
	return raw[1 : len(raw)-1]
}

// string moves past a JSON string. It reports whether the string has escapes. If so, s.decoded is
// the decoded string until the next call.
func (s *scanner) string() (escaped bool, err error) {
	s.pos++
	start := s.pos
	s.decoded = s.decoded[:0]
	for {
		s.plain()
		switch c := s.peek(); {
		case c == '"':
			if escaped {
				s.decoded = append(s.decoded, s.data[start:s.pos]...)
			}
			s.pos++
			return escaped, nil
		case c == '\\':
			s.decoded = append(s.decoded, s.data[start:s.pos]...)
			r, err := s.escape()
			if err != nil {
				return false, err
			}
			s.decoded = utf8.AppendRune(s.decoded, r)
			start, escaped = s.pos, true
		case c < 0x20:
			return false, fmt.Errorf("control character or end inside a string at byte %d", s.pos)
		default:
			r, size := utf8.DecodeRuneInString(s.data[s.pos:])
			if r == utf8.RuneError && size == 1 {
				if err := s.reject(errInvalidUTF8); err != nil {
					return false, err
				}
			}
			s.pos += size
		}
	}
}

// plain moves past the one-byte characters of a string that are not escaped.
func (s *scanner) plain() {
	for s.pos < len(s.data) {
		if c := s.data[s.pos]; c == '"' || c == '\\' || c < 0x20 || c >= utf8.RuneSelf {
			return
		}
		s.pos++
	}
}

// escape moves past one escape sequence, or past the two of a surrogate pair.
func (s *scanner) escape() (rune, error) {
	s.pos++
	c := s.peek()
	switch c {
	case 'u':
		return s.unicodeEscape()
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	default:
		return 0, fmt.Errorf("unknown escape at byte %d", s.pos)
	}
	s.pos++
	return rune(c), nil
}

func (s *scanner) unicodeEscape() (rune, error) {
	r, err := s.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if !strings.HasPrefix(s.data[s.pos:], `\u`) {
		return utf8.RuneError, s.reject(errLoneSurrogate)
	}
	s.pos++
	low, err := s.hex4()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return r, s.reject(errLoneSurrogate)
	}
	return r, nil
}

// hex4 moves past the u of an escape and its four hexadecimal digits.
func (s *scanner) hex4() (rune, error) {
	s.pos++
	if s.pos+4 > len(s.data) {
		return 0, errors.New("short \\u escape")
	}
	n, err := strconv.ParseUint(s.data[s.pos:s.pos+4], 16, 16)
	if err != nil {
		return 0, errors.New("bad \\u escape")
	}
	s.pos += 4
	return rune(n), nil
}
