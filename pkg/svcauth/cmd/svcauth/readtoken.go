package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// A token is what a compact JWS says, read as leniently as it can be understood: inspect is asked about the tokens that
// were refused. What every receiver would refuse is a remark.
type token struct {
	hash                 string // by which logs name it
	rawHeader, rawClaims json.RawMessage
	header, claims       []member
	remarks              []string
}

// A member is one name of a JSON object with its value, as it was sent.
type member struct {
	name string
	raw  json.RawMessage
	at   *instant // what it means, when it is a time
}

// readToken reads a compact JWS; now is what its times are compared with.
func readToken(compact string, now time.Time) (*token, error) {
	const most = 8 << 10
	t := &token{hash: svcauth.TokenHash(compact)}
	if compact == "" {
		return nil, errors.New("nothing there")
	}
	if len(compact) > most {
		t.remark("%d bytes: receivers read at most %d", len(compact), most)
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("parts separated by dots: %d where there must be 3", len(parts))
	}
	if _, err := t.decode("signature", parts[2]); err != nil {
		return nil, err
	}
	if parts[2] == "" {
		t.remark("there is no signature")
	}
	var err error
	if t.rawHeader, t.header, err = t.object("header", parts[0]); err != nil {
		return nil, err
	}
	if t.rawClaims, t.claims, err = t.object("payload", parts[1]); err != nil {
		return nil, err
	}
	t.checkHeader()
	t.readTimes(now.Unix())
	return t, nil
}

func (t *token) remark(format string, args ...any) {
	t.remarks = append(t.remarks, fmt.Sprintf(format, args...))
}

// decode decodes a part, in whatever base64 it is written.
func (t *token) decode(name, part string) ([]byte, error) {
	if data, err := base64.RawURLEncoding.Strict().DecodeString(part); err == nil {
		return data, nil
	}
	plain := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(part, "="))
	data, err := base64.RawURLEncoding.DecodeString(plain)
	if err != nil {
		return nil, fmt.Errorf("the %s is not base64url", name)
	}
	t.remark("the %s is not in canonical base64url", name)
	return data, nil
}

// object decodes a part that is a JSON object.
func (t *token) object(name, part string) (json.RawMessage, []member, error) {
	data, err := t.decode(name, part)
	if err != nil {
		return nil, nil, err
	}
	if !utf8.Valid(data) {
		t.remark("the %s is not valid UTF-8", name)
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	members, err := readMembers(data)
	if err != nil {
		return nil, nil, fmt.Errorf("the %s: %w", name, err)
	}
	seen := map[string]bool{}
	for _, m := range members {
		if seen[m.name] {
			t.remark("the %s has %s twice", name, printable(m.name))
		}
		seen[m.name] = true
	}
	return data, members, nil
}

// readMembers reads a JSON object, duplicates and order kept.
func readMembers(data []byte) ([]member, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var members []member
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("reading JSON: %w", err)
		}
		m := member{name: fmt.Sprint(name)}
		if err := decoder.Decode(&m.raw); err != nil {
			return nil, fmt.Errorf("reading JSON: %w", err)
		}
		members = append(members, m)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the JSON object")
	}
	return members, nil
}

// text returns the first member of that name, if it is a string.
func text(members []member, name string) (value string, present bool) {
	for _, m := range members {
		if m.name == name {
			_ = json.Unmarshal(m.raw, &value) // no string: value stays empty
			return value, true
		}
	}
	return "", false
}

// The kinds of token.
const (
	kindBound   = "bound"
	kindArticle = "article"
	kindSession = "session"
	kindUnknown = "unknown"
)

// kind says what the typ of the header makes the token. One that cannot be read is nil, and of an unknown kind.
func (t *token) kind() string {
	if t == nil {
		return kindUnknown
	}
	switch typ, present := text(t.header, "typ"); {
	case typ == "svcauth+jwt":
		return kindBound
	case typ == "session+jwt":
		return kindSession
	case typ == "JWT" || !present:
		return kindArticle
	default:
		return kindUnknown
	}
}

// says returns the claim of that name; empty where there is none that is a text, and where the token is nil.
func (t *token) says(claim string) string {
	if t == nil {
		return ""
	}
	value, _ := text(t.claims, claim)
	return value
}

func (t *token) checkHeader() {
	for _, m := range t.header {
		if m.name != "alg" && m.name != "kid" && m.name != "typ" {
			t.remark("the header member %s is not allowed", printable(m.name))
		}
	}
	switch alg, _ := text(t.header, "alg"); keys.Algorithm(alg) {
	case keys.EdDSA, keys.ES256, keys.RS256:
	default:
		t.remark("the algorithm is none of %s, %s and %s", keys.EdDSA, keys.ES256, keys.RS256)
	}
	if t.kind() == kindUnknown {
		t.remark("the typ is that of no kind of token")
	}
}

// readTimes understands the claims that are times.
func (t *token) readTimes(now int64) {
	const year10000 = 253402300800
	for i, m := range t.claims {
		if m.name != "iat" && m.name != "nbf" && m.name != "exp" {
			continue
		}
		seconds, err := strconv.ParseUint(string(m.raw), 10, 63)
		if err != nil || seconds >= year10000 {
			t.remark("%s is no whole number of seconds that makes sense", m.name)
			continue
		}
		at := int64(seconds)
		when := instantOf(at, now)
		t.claims[i].at = &when
		t.checkTime(m.name, at, now)
	}
	if _, ok := text(t.claims, "exp"); !ok {
		t.remark("there is no exp: the token would be valid for ever")
	}
}

// checkTime remarks on a time that refuses the token now, beyond the leeway between clocks.
func (t *token) checkTime(name string, at, now int64) {
	leeway := int64(svcauth.Leeway.Seconds())
	switch {
	case name == "exp" && at+leeway <= now:
		t.remark("the token has expired")
	case name == "nbf" && at-leeway > now:
		t.remark("the token is not valid yet")
	case name == "iat" && at-leeway > now:
		t.remark("the token was issued in the future: one of the clocks is wrong")
	}
}
