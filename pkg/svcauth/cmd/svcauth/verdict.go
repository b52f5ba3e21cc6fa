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

// A verdict is what a trust file says of a token. It is what verify --json prints.
type verdict struct {
	Verdict         string          `json:"verdict"`
	Trust           string          `json:"trust_file"`
	Audience        string          `json:"audience"`
	AudienceAssumed bool            `json:"audience_assumed"`
	Request         *sentRequest    `json:"request,omitempty"`
	Check           svcauth.Check   `json:"check,omitempty"` // that refused the call
	Status          int             `json:"status,omitempty"`
	Reason          string          `json:"reason,omitempty"`
	Caller          *callerReport   `json:"caller,omitempty"`
	Subject         svcauth.Subject `json:"subject,omitempty"`
	Passed          []svcauth.Check `json:"passed"`
	Unchecked       []string        `json:"unchecked"`
	Entry           *issuerReport   `json:"entry,omitempty"` // of the token's issuer

	token *token // nil where it cannot be read
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

// covers reports whether the token has a bdy, and so can do more than read.
func (v *verdict) covers() bool { return v.token.says("bdy") != "" }

// sample returns a call that the entry allows, for a token that says nothing of its request: all checks can be made but
// whether the call is allowed.
func (v *verdict) sample() (method, target string) {
	lines := v.callable()
	if len(lines) == 0 {
		return http.MethodGet, v.Audience
	}
	method, path, _ := strings.Cut(lines[0], " ")
	return method, originOf(v.Audience) + strings.ReplaceAll(path, "*", "x")
}

// callable returns the lines of the entry's allow that the token can be used for: without a bdy it can only read.
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

// decide takes in what the verifier said.
func (v *verdict) decide(passed *http.Request, err error, sets []svcauth.KeySetStats) {
	v.Passed, v.Unchecked = []svcauth.Check{}, []string{}
	var stop svcauth.Check
	if refusal, ok := errors.AsType[*svcauth.Refusal](err); ok {
		stop = refusal.Check
		v.refuse(refusal, sets)
	} else {
		v.pass(passed)
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

// keySetFault says why the keys of the entry's issuer could not be fetched.
func (v *verdict) keySetFault(sets []svcauth.KeySetStats) string {
	for _, set := range sets {
		if set.Issuer == v.Entry.Issuer && set.Fault != "" {
			return set.Fault
		}
	}
	return "no answer yet from " + v.Entry.KeySetURL
}

func (v *verdict) pass(r *http.Request) {
	if v.open {
		v.leaveOpen()
		return
	}
	v.Verdict = letIn
	if caller, ok := svcauth.CallerFrom(r.Context()); ok {
		v.Caller = &callerReport{caller.Issuer, caller.KeyID, caller.Session, caller.Admin}
	}
	v.Subject, _ = svcauth.SubjectFrom(r.Context())
}

// leaveOpen is for a token that every check lets pass which can be made.
func (v *verdict) leaveOpen() {
	v.Verdict = undecided
	if v.open {
		v.Unchecked = append(v.Unchecked, "the request")
	}
	if v.covers() && !v.body.given {
		v.Unchecked = append(v.Unchecked, "the body")
	}
}

// makes reports whether a verifier makes the check for a token of this kind, and could make it here.
func (v *verdict) makes(c svcauth.Check) bool {
	kind := v.token.kind()
	switch c {
	case svcauth.CheckReplay:
		return false // a token that was used before looks like one that was not
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

// sentence says the verdict.
func (v *verdict) sentence() string {
	switch {
	case v.Verdict == refused:
		return fmt.Sprintf("refused by check %s, with status %d: %s", v.Check, v.Status, v.Reason)
	case v.Verdict == letIn:
		return "would be let in"
	case v.open:
		return "every check passes that can be made without the request; what it may be is listed below"
	default:
		return "every check up to the body passes; the body is not known here"
	}
}

// rows shows the verdict.
func (v *verdict) rows() []row {
	rows := []row{{"verdict", v.sentence()}}
	if v.open && v.Verdict == undecided {
		rows = append(rows, rowsOf("good for", v.callable())...)
	}
	if v.Caller != nil {
		rows = append(rows, row{"caller", v.Caller.text()}, row{"subject", string(v.Subject)})
	}
	if v.Request != nil {
		rows = append(rows, row{"request", v.Request.Method + " " + v.Request.URL})
	}
	if len(v.Passed) > 0 {
		rows = append(rows, row{"passed", commaList(v.Passed)})
	}
	if len(v.Unchecked) > 0 {
		rows = append(rows, row{"not checked", commaList(v.Unchecked)})
	}
	return rows
}

func (c *callerReport) text() string {
	text := c.Issuer
	switch {
	case c.Session:
		text += ", for the user's own session"
	case c.Admin:
		text += ", with administrative power"
	}
	if c.KeyID != "" {
		text += ", by its key " + c.KeyID
	}
	return text
}

// headline says how much of what a token says is to be believed.
func (v *verdict) headline() string {
	issuer := printable(v.token.says("iss"))
	wrote := issuer + " wrote what follows"
	switch {
	case !slices.Contains(v.Passed, svcauth.CheckSignature):
		return fmt.Sprintf("REFUSED by check %s, AND NOT VERIFIED. Anybody can have written what follows.", v.Check)
	case v.Verdict == refused:
		return fmt.Sprintf("REFUSED by check %s. The signature was verified: %s.", v.Check, wrote)
	case v.Verdict == undecided:
		return fmt.Sprintf("VERIFIED IN PART: %s. Not checked: %s.", wrote, commaList(v.Unchecked))
	case len(v.Unchecked) > 0:
		return fmt.Sprintf("VERIFIED: %s. Not checked: %s.", wrote, commaList(v.Unchecked))
	default:
		return fmt.Sprintf("VERIFIED: %s.", wrote)
	}
}

// write shows the verdict and the entry that led to it.
func (v *verdict) write(text *strings.Builder) {
	receiver := v.Audience
	if v.AudienceAssumed {
		receiver += ", assumed to be the receiver because it is the token's aud"
	}
	fmt.Fprintf(text, "\n%s, for %s\n", printable(v.Trust), receiver)
	writeRows(text, v.rows())
	if v.Entry != nil {
		fmt.Fprintf(text, "\nwhat it says of %s\n", v.Entry.Issuer)
		writeRows(text, v.Entry.rows())
	}
}
