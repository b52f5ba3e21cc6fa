package svcauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/micromachine/pkg/logsafe"
	"example.com/micromachine/pkg/svcauth/internal/strictjson"
)

// The bounds on [Claims], for signing and for verifying.
const (
	// MaxClaims is the number of claims.
	MaxClaims = 32
	// MaxClaimsBytes is the total length of their names and of their values as JSON.
	MaxClaimsBytes = 4 << 10
)

// claims are what a token says, as the strict reader understood it. The zero value of a field means
// that the claim is absent.
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

	own []strictjson.Member // the caller's own
}

// readClaims reads the payload of a token.
func readClaims(data string) (claims, error) {
	members, err := strictjson.Object(data)
	if err != nil {
		return claims{}, err
	}
	var c claims
	for _, m := range members {
		if err := c.set(m); err != nil {
			return claims{}, err
		}
	}
	return c, c.checkOwn()
}

// set sets the claim of a member of the payload.
func (c *claims) set(m strictjson.Member) (err error) {
	if text := c.text(m.Name); text != nil {
		*text, err = m.Text()
		if err == nil && *text == "" {
			err = fmt.Errorf("%q is empty", m.Name)
		}
		return err
	}
	if seconds := c.time(m.Name); seconds != nil {
		*seconds, err = m.Seconds()
		if err == nil && *seconds == 0 {
			err = fmt.Errorf("%q is 0", m.Name)
		}
		return err
	}
	if known := reserved(m.Name); known != "" {
		return fmt.Errorf("%q is not spelled %q", m.Name, known)
	}
	c.own = append(c.own, m)
	return nil
}

// text returns the claim of that name; nil if it is not a text that svcauth reads.
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

// time returns the claim of that name; nil if it is not a time that svcauth reads.
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

// reserved returns the claim that svcauth reads for which a reader that ignores case, as
// encoding/json does, would take a claim of that name; empty if there is none.
func reserved(name string) string {
	for _, known := range [...]string{"iss", "aud", "sub", "iat", "nbf", "exp", "jti", "htm", "htu", "bdy"} {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return ""
}

// checkOwn checks the bounds on the caller's own claims.
func (c *claims) checkOwn() error {
	if len(c.own) > MaxClaims {
		return fmt.Errorf("%d claims of the caller's own: at most %d are read", len(c.own), MaxClaims)
	}
	total := 0
	for _, m := range c.own {
		total += len(m.Name) + len(m.Raw)
	}
	if total > MaxClaimsBytes {
		return fmt.Errorf("%d bytes of claims of the caller's own: at most %d are read", total, MaxClaimsBytes)
	}
	return nil
}

// ownClaims returns the caller's own claims; nil if there are none.
func (c *claims) ownClaims() Claims {
	if len(c.own) == 0 {
		return nil
	}
	own := make(Claims, len(c.own))
	for _, m := range c.own {
		own[m.Name] = json.RawMessage(m.Raw)
	}
	return own
}

// setOwn sets the caller's own claims. It refuses what a verifier refuses, with the claim's name.
func (c *claims) setOwn(own Claims) error {
	for _, name := range slices.Sorted(maps.Keys(own)) {
		member, err := ownMember(name, own[name])
		if err != nil {
			return fmt.Errorf("claim %q: %w", logsafe.Text(name), err)
		}
		c.own = append(c.own, member)
	}
	return c.checkOwn()
}

func ownMember(name string, raw json.RawMessage) (strictjson.Member, error) {
	if known := reserved(name); known != "" {
		return strictjson.Member{}, fmt.Errorf("the name is reserved for the claim %q", known)
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return strictjson.Member{}, err
	}
	members, err := strictjson.Object("{" + string(quoted) + ":" + string(raw) + "}")
	if err != nil {
		return strictjson.Member{}, err
	}
	if len(members) != 1 || members[0].Name != name {
		return strictjson.Member{}, errors.New("the value is not one JSON value")
	}
	return members[0], nil
}

// marshal returns the claims as the payload of a token.
func (c *claims) marshal() ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil || len(c.own) == 0 {
		return data, err
	}
	data = data[:len(data)-1] // without the closing brace
	for _, m := range c.own {
		name, err := json.Marshal(m.Name)
		if err != nil {
			return nil, err
		}
		data = append(append(append(append(data, ','), name...), ':'), m.Raw...)
	}
	data = append(data, '}')
	_, err = readClaims(string(data)) // so that no token is signed that receivers cannot read
	return data, err
}
