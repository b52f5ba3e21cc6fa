package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"example.com/micromachine/pkg/svcauth"
)

// The verdicts.
const (
	letIn     = "let_in"
	refused   = "refused"
	undecided = "undecided" // something that decides is not known here
)

// A verdict is the result of the verification of a token. It is what verify --json prints.
type verdict struct {
	Verdict         string          `json:"verdict"`
	Trust           string          `json:"trust_file"`
	Audience        string          `json:"audience"`
	AudienceAssumed bool            `json:"audience_assumed"`
	Request         *sentRequest    `json:"request,omitempty"`
	Check           svcauth.Check   `json:"check,omitempty"` // that refuses the call
	Status          int             `json:"status,omitempty"`
	Reason          string          `json:"reason,omitempty"`
	Caller          *callerReport   `json:"caller,omitempty"`
	Subject         svcauth.Subject `json:"subject,omitempty"`
	Passed          []svcauth.Check `json:"passed"`
	Unchecked       []string        `json:"unchecked"`
	Entry           *issuerReport   `json:"entry,omitempty"` // of the token's issuer

	token *token // nil if it cannot be read
	body  content
	open  bool // the request is not known
}

// A sentRequest is the request that a token came with.
type sentRequest struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

// callerReport is a [svcauth.Caller].
type callerReport struct {
	Issuer  string `json:"issuer"`
	KeyID   string `json:"kid,omitempty"`
	Session bool   `json:"session"`
	Admin   bool   `json:"admin"`
}

// covers reports whether the token has a bdy. Without one it can only read.
func (v *verdict) covers() bool { return v.token.says("bdy") != "" }

// sample returns a call that the entry allows, for a token whose request is not known. All checks
// but that of the request are then made.
func (v *verdict) sample() (method, target string) {
	lines := v.callable()
	if len(lines) == 0 {
		return http.MethodGet, v.Audience
	}
	method, path, _ := strings.Cut(lines[0], " ")
	return method, originOf(v.Audience) + strings.ReplaceAll(path, "*", "x")
}

// callable returns the lines of the entry's allow for which the token can be used.
func (v *verdict) callable() []string {
	if v.Entry == nil || v.covers() {
		return v.allowed()
	}
	return slices.DeleteFunc(slices.Clone(v.allowed()), func(line string) bool {
		method, _, _ := strings.Cut(line, " ")
		return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
	})
}

func (v *verdict) allowed() []string {
	if v.Entry == nil {
		return nil
	}
	return v.Entry.Allow
}

// decide sets the verdict from the result of the verifier.
func (v *verdict) decide(identity svcauth.Identity, err error, sets []svcauth.KeySetStats) {
	v.Passed, v.Unchecked = []svcauth.Check{}, []string{}
	var stop svcauth.Check
	if refusal, ok := errors.AsType[*svcauth.Refusal](err); ok {
		stop = refusal.Check
		v.refuse(refusal, sets)
	} else {
		v.pass(identity)
	}
	for _, c := range svcauth.Checks() {
		if c == stop {
			break
		}
		if v.makes(c) {
			v.Passed = append(v.Passed, c)
		}
	}
	if v.Verdict != refused && v.covers() {
		v.Unchecked = append(v.Unchecked, "whether the token was used before")
	}
}

func (v *verdict) refuse(refusal *svcauth.Refusal, sets []svcauth.KeySetStats) {
	if refusal.Check == svcauth.CheckBody && !v.body.given {
		v.leaveOpen()
		return
	}
	v.Verdict, v.Check, v.Status, v.Reason = refused, refusal.Check, refusal.Status, oneLine(refusal.Unwrap())
	switch {
	case v.Check == svcauth.CheckAllow && v.open:
		v.Reason = "the token has no bdy and so can only read, and the trust file allows this issuer no such call"
	case v.Check == svcauth.CheckKey && v.Status == http.StatusServiceUnavailable:
		v.Reason += ": " + v.keySetFault(sets)
	case v.Check == svcauth.CheckKey:
		v.Reason += fmt.Sprintf(": kid is %q", refusal.KeyID)
	case v.Check == svcauth.CheckIssuer:
		v.Reason += fmt.Sprintf(": iss is %q", refusal.Issuer)
	}
}

// keySetFault returns why the keys of the entry's issuer could not be fetched.
func (v *verdict) keySetFault(sets []svcauth.KeySetStats) string {
	for _, set := range sets {
		if set.Issuer == v.Entry.Issuer && set.Fault != "" {
			return set.Fault
		}
	}
	return "no answer yet from " + v.Entry.KeySetURL
}

func (v *verdict) pass(identity svcauth.Identity) {
	if v.open {
		v.leaveOpen()
		return
	}
	v.Verdict = letIn
	caller := identity.Caller
	v.Caller = &callerReport{caller.Issuer, caller.KeyID, caller.Session, caller.Admin}
	v.Subject = identity.Subject
}

// leaveOpen sets the verdict for a token that passes all checks that can be made.
func (v *verdict) leaveOpen() {
	v.Verdict = undecided
	if v.open {
		v.Unchecked = append(v.Unchecked, "the request")
	}
	if v.covers() && !v.body.given {
		v.Unchecked = append(v.Unchecked, "the body")
	}
}

// makes reports whether a verifier makes the check for this kind of token, and can make it here.
func (v *verdict) makes(c svcauth.Check) bool {
	kind := v.token.kind()
	switch c {
	case svcauth.CheckReplay:
		return false // the tokens that were used before are not known
	case svcauth.CheckRequest:
		return kind == kindBound
	case svcauth.CheckAllow:
		return kind != kindSession && !v.open
	case svcauth.CheckBody:
		return v.covers()
	default:
		return true
	}
}
