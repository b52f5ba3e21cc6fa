package svcauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"example.com/micromachine/pkg/logsafe"
	"example.com/micromachine/pkg/svcauth/internal/strictjson"
	"example.com/micromachine/pkg/svcauth/keys"
)

// An Unverified is what a token says. Nothing of it is verified: anybody can write a token that
// says anything. It is for tools that explain tokens, and no decision may depend on it.
type Unverified struct {
	// Kind is the kind of token that its typ names: "bound", "article" or "session". It is empty if
	// the typ is none of svcauth's.
	Kind string
	// Header and Claims are JSON objects as they were sent.
	Header, Claims json.RawMessage
	// Faults are reasons for which every [Verifier] refuses the token, whatever it trusts.
	Faults []error
}

// ReadUnverified reads a token as a [Verifier] does, but goes on after a fault where it can. now is
// the time at which the token is used. The error is about a token of which not everything can be
// read: its parts are not three, not canonical base64url, or not JSON objects.
func ReadUnverified(compact string, now time.Time) (*Unverified, error) {
	raw, err := decodeCompact(compact)
	if err != nil {
		return nil, err
	}
	u := &Unverified{Header: json.RawMessage(raw.header), Claims: json.RawMessage(raw.payload)}
	h, headerErr := readHeader(raw.header)
	c, claimsErr := readClaims(raw.payload)
	u.fault("", checkLength(compact))
	if err := u.read("header", raw.header, headerErr); err != nil {
		return nil, err
	}
	if err := u.read("claims", raw.payload, claimsErr); err != nil {
		return nil, err
	}
	if headerErr == nil {
		u.checkHeader(&h)
	}
	if len(raw.signature) == 0 {
		u.fault("", errors.New("no signature"))
	}
	if claimsErr == nil {
		u.fault("", checkClock(&c, now))
	}
	return u, nil
}

func (u *Unverified) fault(part string, err error) {
	if err != nil && part != "" {
		err = fmt.Errorf("%s: %w", part, err)
	}
	if err != nil {
		u.Faults = append(u.Faults, err)
	}
}

// read adds all faults of the JSON in a part of the token, or the one that the strict reader found.
func (u *Unverified) read(part, data string, strict error) error {
	_, faults, err := strictjson.Read(data)
	if err != nil {
		return fmt.Errorf("%s: %w", part, err)
	}
	for _, fault := range faults {
		u.fault(part, fault)
	}
	if len(faults) == 0 {
		u.fault(part, strict)
	}
	return nil
}

// checkHeader checks what no trust entry can allow, and sets the kind.
func (u *Unverified) checkHeader(h *joseHeader) {
	if !keys.Algorithm(h.alg).Valid() {
		u.fault("header", fmt.Errorf("unknown alg %q", logsafe.Text(h.alg)))
	}
	switch {
	case h.typ == typBound:
		u.Kind = "bound"
	case h.typ == typSession:
		u.Kind = "session"
	case h.typ == typArticle, !h.hasTyp:
		u.Kind = "article"
	default:
		u.fault("header", fmt.Errorf("unknown typ %q", logsafe.Text(h.typ)))
	}
}
