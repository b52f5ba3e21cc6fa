package main

import (
	"fmt"
	"slices"
	"strings"

	"example.com/micromachine/pkg/svcauth"
)

// sentence returns the verdict in words.
func (v *verdict) sentence() string {
	switch {
	case v.Verdict == refused:
		return fmt.Sprintf("refused by check %s, with status %d: %s", v.Check, v.Status, v.Reason)
	case v.Verdict == letIn:
		return "would be let in"
	case v.open:
		return "every check passes that can be made without the request; the possible requests are listed below"
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

// headline returns the first line of the text: what of the token was verified.
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

// write shows the verdict and the entry of the issuer.
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
