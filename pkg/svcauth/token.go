package svcauth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
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
	compact string
	header  joseHeader
	claims  claims
	payload []byte
}

// tokenFrom returns the value of the request's one token header: step 1 of verification.
func tokenFrom(h http.Header) (string, error) {
	values := h.Values(Header)
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

// decodeCompact splits a compact JWS (RFC 7515 section 7.1) into its decoded header and payload. The base64url must be
// canonical: no padding, no stray characters, no spare bits, so that one token has one spelling.
func decodeCompact(compact string) (header, payload []byte, err error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, nil, fmt.Errorf("%d parts where a compact JWS has 3", len(parts))
	}
	var decoded [3][]byte
	for i, part := range parts {
		if strings.ContainsAny(part, "\r\n") {
			return nil, nil, errors.New("line break in the token")
		}
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return nil, nil, fmt.Errorf("part %d is not canonical base64url", i+1)
		}
	}
	return decoded[0], decoded[1], nil
}

// readToken reads a token's JSON strictly: step 2 of verification.
func readToken(compact string, header, payload []byte) (*token, error) {
	t := &token{compact: compact, payload: bytes.TrimSpace(payload)}
	var err error
	if t.header, err = readHeader(header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if t.claims, err = readClaims(payload); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return t, nil
}

func readHeader(data []byte) (joseHeader, error) {
	members, err := scanObject(data)
	if err != nil {
		return joseHeader{}, err
	}
	var h joseHeader
	for _, m := range members {
		var field *string
		switch m.name {
		case "alg":
			field = &h.alg
		case "kid":
			field = &h.kid
		case "typ":
			field, h.hasTyp = &h.typ, true
		default:
			return joseHeader{}, fmt.Errorf("member %q is not allowed", clip(m.name))
		}
		if *field, err = m.text(); err != nil {
			return joseHeader{}, err
		}
	}
	return h, nil
}

func readClaims(data []byte) (claims, error) {
	members, err := scanObject(data)
	if err != nil {
		return claims{}, err
	}
	var c claims
	texts := map[string]*string{
		"iss": &c.Issuer, "aud": &c.Audience, "sub": &c.Subject, "jti": &c.ID, "htm": &c.Method, "htu": &c.URL, "bdy": &c.Body,
	}
	times := map[string]*int64{"iat": &c.IssuedAt, "nbf": &c.NotBefore, "exp": &c.ExpiresAt}
	for _, m := range members {
		if text, ok := texts[m.name]; ok {
			*text, err = m.text()
			if err == nil && *text == "" {
				err = fmt.Errorf("%q is empty", m.name)
			}
		} else if seconds, ok := times[m.name]; ok {
			*seconds, err = m.seconds()
			if err == nil && *seconds == 0 {
				err = fmt.Errorf("%q is 0", m.name)
			}
		} else {
			err = checkForeignClaim(m.name)
		}
		if err != nil {
			return claims{}, err
		}
	}
	return c, nil
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

// strictClaims hands golang-jwt the claims that the strict reader understood, once it is shown the very bytes they were
// read from: there is no second reading that could differ.
type strictClaims struct {
	*claims
	payload []byte
}

// UnmarshalJSON implements [encoding/json.Unmarshaler].
func (c *strictClaims) UnmarshalJSON(data []byte) error {
	if !bytes.Equal(data, c.payload) {
		return errors.New("claims differ from those read before")
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
