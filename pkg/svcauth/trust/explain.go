package trust

import "fmt"

// A Decision says whether a policy allows a call, and which line of the trust file decides.
type Decision struct {
	// Allowed says that the policy allows the call.
	Allowed bool
	// Line is the number of the line that decides, and Text is the line, such as "allow: GET
	// /user/*". The last line that is needed decides: that of act_for for a subject other than the
	// issuer, else that of allow. If none matches, it is the line of the issuer. Line is 0 if the
	// policy does not name the issuer.
	Line int
	Text string
	// Reason is the decision as a sentence that names all lines that it needs.
	Reason string
}

// Explain says whether the policy allows issuer to call method and path on behalf of subject, with
// a service token. An empty subject stands for the issuer itself.
func (p *Policy) Explain(issuer, subject, method, path string) Decision {
	e := p.entries[issuer]
	if e == nil {
		return Decision{Reason: fmt.Sprintf("the trust file does not name %s", issuer)}
	}
	call := e.matchCall(method, path)
	if call < 0 {
		return e.denied("no line of allow matches %s %s", method, path)
	}
	line, text := e.at.item(e.at.allow, call), e.issuer.Allow[call]
	d := Decision{
		Allowed: true, Line: line, Text: "allow: " + text,
		Reason: fmt.Sprintf("line %d allows %s, and every issuer may act for itself", line, text),
	}
	if subject == "" || subject == issuer {
		return d
	}
	user := e.matchSubject(subject)
	if user < 0 {
		return e.denied("line %d allows %s, but no line of act_for matches %s", line, text, subject)
	}
	d.Line, d.Text = e.at.item(e.at.actFor, user), "act_for: "+e.issuer.ActFor[user]
	d.Reason = fmt.Sprintf("line %d allows %s, and line %d allows to act for %s", line, text, d.Line, e.issuer.ActFor[user])
	return d
}

// denied returns the decision that no line of the entry allows the call.
func (e *Entry) denied(reason string, args ...any) Decision {
	return Decision{
		Line: e.at.field("issuer"), Text: "issuer: " + e.issuer.Name, Reason: fmt.Sprintf(reason, args...),
	}
}
