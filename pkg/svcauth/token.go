package svcauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"example.com/micromachine/pkg/logsafe"
	"example.com/micromachine/pkg/svcauth/internal/strictjson"
)

// The "typ" of each kind of token (RFC 8725 section 3.11), so that one never passes for another.
const (
	typBound   = "svcauth+jwt"
	typArticle = "JWT"
	typSession = "session+jwt"
)

// maxTokenBytes is the longest token that is looked at.
const maxTokenBytes = 8 << 10

// A joseHeader is the protected header of a token: these members and no other.
type joseHeader struct {
	alg, kid, typ string
	hasTyp        bool
}

// claims are what a token says, as the strict reader understood it. The zero value of a field means that the claim is absent.
type claims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	Subject   string `json:"sub"`
	IssuedAt  int64  `json:"iat,omitempty"`
	NotBefore int64  `json:"nbf,omitempty"`
	ExpiresAt int64  `json:"exp,omitempty"`
	ID        string `json:"jti,omitempty"`
	Method    string `json:"htm,omitempty"`
	URL       string `json:"htu,omitempty"`
	Body      string `json:"bdy,omitempty"`
}

// A token is a compact JWS that passed the strict reader. Nothing in it is proved yet.
type token struct {
	compact    string
	signature  []byte
	header     joseHeader
	headerSeen bool // in another token
	claims     claims
}

// headerPart is the header as it was sent.
func headerPart(compact string) string { return compact[:strings.IndexByte(compact, '.')] }

// signed returns what the signature is of (RFC 7515 section 5.2): header and payload as they were sent.
func (t *token) signed() string { return t.compact[:strings.LastIndexByte(t.compact, '.')] }

// canonicalHeader is [Header] as net/http spells it.
const canonicalHeader = "Jwt"

// tokenFrom returns the value of the request's one token header: step 1 of verification.
func tokenFrom(h http.Header) (string, error) {
	values := h[canonicalHeader]
	switch {
	case len(values) == 0:
		return "", errors.New("no JWT header")
	case len(values) > 1:
		return "", fmt.Errorf("%d JWT headers", len(values))
	case len(values[0]) > maxTokenBytes:
		return "", fmt.Errorf("a token of %d bytes: at most %d are read", len(values[0]), maxTokenBytes)
	}
	return values[0], nil
}

// canonicalBase64 refuses spare bits (RFC 4648 section 3.5).
var canonicalBase64 = base64.RawURLEncoding.Strict()

// A rawToken is the three parts of a compact JWS, decoded.
type rawToken struct {
	header, payload string
	signature       []byte
}

// decodeCompact takes a compact JWS (RFC 7515 section 7.1) apart. The base64url must be canonical: no padding, no stray
// characters, no spare bits, so that one token has one spelling.
func decodeCompact(compact string) (raw rawToken, err error) {
	if dots := strings.Count(compact, "."); dots != 2 {
		return raw, fmt.Errorf("%d parts where a compact JWS has 3", dots+1)
	}
	if strings.IndexByte(compact, '\n') >= 0 || strings.IndexByte(compact, '\r') >= 0 { // which package base64 reads over
		return raw, errors.New("line break in the token")
	}
	decoded := make([]byte, 0, len(compact)*3/4) // all parts, one after the other
	var ends [3]int
	rest := compact
	for i := range ends {
		var part string
		part, rest, _ = strings.Cut(rest, ".")
		if decoded, err = canonicalBase64.AppendDecode(decoded, []byte(part)); err != nil {
			return raw, fmt.Errorf("part %d is not canonical base64url", i+1)
		}
		ends[i] = len(decoded)
	}
	text := string(decoded[:ends[1]])
	return rawToken{text[:ends[0]], text[ends[0]:], decoded[ends[1]:]}, nil
}

// readToken reads a token's JSON strictly: step 2 of verification. It is the only reading there is: golang-jwt is shown
// the claims that it found, not the bytes. A header that seen knows already is not read again.
func readToken(compact string, raw rawToken, seen *seenTokens) (*token, error) {
	t := &token{compact: compact, signature: raw.signature}
	var err error
	if t.header, t.headerSeen = seen.header(compact); !t.headerSeen {
		if t.header, err = readHeader(raw.header); err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
	}
	if t.claims, err = readClaims(raw.payload); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return t, nil
}

func readHeader(data string) (joseHeader, error) {
	members, err := strictjson.Object(data)
	if err != nil {
		return joseHeader{}, err
	}
	var h joseHeader
	for _, m := range members {
		var field *string
		switch m.Name {
		case "alg":
			field = &h.alg
		case "kid":
			field = &h.kid
		case "typ":
			field, h.hasTyp = &h.typ, true
		default:
			return joseHeader{}, fmt.Errorf("member %q is not allowed", logsafe.Text(m.Name))
		}
		if *field, err = m.Text(); err != nil {
			return joseHeader{}, err
		}
	}
	return h, nil
}

func readClaims(data string) (claims, error) {
	members, err := strictjson.Object(data)
	if err != nil {
		return claims{}, err
	}
	var c claims
	for _, m := range members {
		if text := c.text(m.Name); text != nil {
			*text, err = m.Text()
			if err == nil && *text == "" {
				err = fmt.Errorf("%q is empty", m.Name)
			}
		} else if seconds := c.time(m.Name); seconds != nil {
			*seconds, err = m.Seconds()
			if err == nil && *seconds == 0 {
				err = fmt.Errorf("%q is 0", m.Name)
			}
		} else {
			err = checkForeignClaim(m.Name)
		}
		if err != nil {
			return claims{}, err
		}
	}
	return c, nil
}

// text returns the claim of that name; nil when there is none that is a text.
func (c *claims) text(name string) *string {
	switch name {
	case "iss":
		return &c.Issuer
	case "aud":
		return &c.Audience
	case "sub":
		return &c.Subject
	case "jti":
		return &c.ID
	case "htm":
		return &c.Method
	case "htu":
		return &c.URL
	case "bdy":
		return &c.Body
	default:
		return nil
	}
}

// time returns the claim of that name; nil when there is none that is a time.
func (c *claims) time(name string) *int64 {
	switch name {
	case "iat":
		return &c.IssuedAt
	case "nbf":
		return &c.NotBefore
	case "exp":
		return &c.ExpiresAt
	default:
		return nil
	}
}

// checkForeignClaim refuses a claim whose name a reader that ignores case, as encoding/json does, would take for one of ours.
func checkForeignClaim(name string) error {
	for _, known := range []string{"iss", "aud", "sub", "iat", "nbf", "exp", "jti", "htm", "htu", "bdy"} {
		if strings.EqualFold(name, known) {
			return fmt.Errorf("%q is not spelled %q", name, known)
		}
	}
	return nil
}

func numericDate(seconds int64) (*jwt.NumericDate, error) {
	if seconds == 0 {
		return nil, nil //nolint:nilnil // golang-jwt's way to say that the claim is absent
	}
	return jwt.NewNumericDate(time.Unix(seconds, 0)), nil
}

// GetExpirationTime implements [jwt.Claims], as the five methods below do.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(c.ExpiresAt) }

func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)  { return numericDate(c.IssuedAt) }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error) { return numericDate(c.NotBefore) }
func (c *claims) GetIssuer() (string, error)              { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)             { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)  { return jwt.ClaimStrings{c.Audience}, nil }
