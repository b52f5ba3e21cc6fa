package svcauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"example.com/micromachine/pkg/logsafe"
	"example.com/micromachine/pkg/svcauth/internal/strictjson"
)

// The "typ" of each kind of token (RFC 8725 section 3.11), so that one never passes for another.
const (
	typBound   = "svcauth+jwt"
	typArticle = "JWT"
	typSession = "session+jwt"
)

// maxTokenBytes is the longest token that is read.
const maxTokenBytes = 8 << 10

// A joseHeader is the protected header of a token. It has no other members.
type joseHeader struct {
	alg, kid, typ string
	hasTyp        bool
}

// A token is a compact JWS that passed the strict reader. None of its claims is proved yet.
type token struct {
	compact   string
	signature []byte
	header    joseHeader
	claims    claims
}

// headerPart is the header as it was sent.
func headerPart(compact string) string { return compact[:strings.IndexByte(compact, '.')] }

// signed returns the signed part (RFC 7515 section 5.2): header and payload as they were sent.
func (t *token) signed() string { return t.compact[:strings.LastIndexByte(t.compact, '.')] }

// canonicalHeader is [Header] as net/http spells it.
const canonicalHeader = "Jwt"

// tokenFrom returns the value of the request's one token header, or the first value and an error.
func tokenFrom(h http.Header) (string, error) {
	switch values := h[canonicalHeader]; len(values) {
	case 0:
		return "", errors.New("no JWT header")
	case 1:
		return values[0], checkLength(values[0])
	default:
		return values[0], fmt.Errorf("%d JWT headers", len(values))
	}
}

func checkLength(compact string) error {
	if len(compact) > maxTokenBytes {
		return fmt.Errorf("a token of %d bytes: at most %d are read", len(compact), maxTokenBytes)
	}
	return nil
}

// canonicalBase64 refuses spare bits (RFC 4648 section 3.5).
var canonicalBase64 = base64.RawURLEncoding.Strict()

// A rawToken is the three parts of a compact JWS, decoded.
type rawToken struct {
	header, payload string
	signature       []byte
}

// decodeCompact decodes a compact JWS (RFC 7515 section 7.1). The base64url must be canonical,
// without padding, other characters and spare bits, so that a token has one spelling.
func decodeCompact(compact string) (raw rawToken, err error) {
	if dots := strings.Count(compact, "."); dots != 2 {
		return raw, fmt.Errorf("%d parts where a compact JWS has 3", dots+1)
	}
	if strings.IndexByte(compact, '\n') >= 0 || strings.IndexByte(compact, '\r') >= 0 { // package base64 ignores these
		return raw, errors.New("line break in the token")
	}
	decoded := make([]byte, 0, len(compact)*3/4) // all parts in one allocation
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

// encodeCompact returns the part of a compact JWS that is signed.
func encodeCompact(h joseHeader, payload []byte) string {
	header := []byte(`{"alg":"` + h.alg + `","kid":"` + h.kid + `","typ":"` + h.typ + `"}`) // none needs JSON's escapes
	signed := base64.RawURLEncoding.AppendEncode(make([]byte, 0, 2*(len(header)+len(payload))), header)
	signed = append(signed, '.')
	return string(base64.RawURLEncoding.AppendEncode(signed, payload))
}

// readHeader reads the header of a token.
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
