package svcauth

import (
	"slices"
	"strings"
)

// A TrustedIssuer is what a trust file says of one issuer.
type TrustedIssuer struct {
	// Issuer is the service's base URL.
	Issuer string
	// Profile is the form of its tokens.
	Profile Profile
	// Keys is where its keys come from, as the file has it: "discover", a URL, or the name of a file.
	Keys string
	// KeySetURL is where its keys are fetched from; empty when they are in a file.
	KeySetURL string
	// KeyIDs are the kids and algorithms of the keys in the file; empty when they are fetched.
	KeyIDs map[string]Algorithm
	// Allow and ActFor are the calls it may make and the subjects it may act for beside itself, as the file has them.
	Allow, ActFor []string
	// Algorithms are those it may use; empty for all.
	Algorithms []Algorithm
	// Admin, Sessions and InsecureNoExpiry are the file's flags.
	Admin, Sessions, InsecureNoExpiry bool
}

// A trustEntry is what a trust file says of one issuer.
type trustEntry struct {
	issuer           string
	profile          Profile
	algorithms       []Algorithm // empty: all
	allow            []callPattern
	actFor           []subjectPattern
	admin            bool
	sessions         bool
	insecureNoExpiry bool

	keysFrom string // as the trust file has it
	jwksURL  string // where the keys are fetched from; empty when they came from a file
	keys     keyMap // the keys of the key file
	lines    map[string]int
}

// accepts reports whether the entry's issuer may sign tokens with that header at all, and whether it is a session token.
func (e *trustEntry) accepts(h joseHeader) (session, ok bool) {
	if h.typ == typSession {
		return true, e.sessions
	}
	switch {
	case len(e.allow) == 0:
		return false, false
	case e.profile == Article:
		return false, !h.hasTyp || h.typ == typArticle
	default:
		return false, h.typ == typBound
	}
}

func (e *trustEntry) allowsAlgorithm(a Algorithm) bool {
	return len(e.algorithms) == 0 || slices.Contains(e.algorithms, a)
}

func (e *trustEntry) allowsCall(method, path string) bool {
	return slices.ContainsFunc(e.allow, func(p callPattern) bool { return p.match(method, path) })
}

// allowsSubject reports whether the issuer may act for subject: for itself always, for others as act_for says. The
// subject of a session token is one of the issuer's own users, whose URI lies under the issuer's name.
func (e *trustEntry) allowsSubject(subject string, session bool) bool {
	if session {
		rest, ok := strings.CutPrefix(subject, e.issuer)
		return ok && cleanPath("/"+rest)
	}
	return subject == e.issuer || slices.ContainsFunc(e.actFor, func(p subjectPattern) bool { return p.match(subject) })
}

func (e *trustEntry) summary() TrustedIssuer {
	t := TrustedIssuer{
		Issuer: e.issuer, Profile: e.profile, Keys: e.keysFrom, KeySetURL: e.jwksURL, KeyIDs: map[string]Algorithm{},
		Algorithms: e.algorithms, Admin: e.admin, Sessions: e.sessions, InsecureNoExpiry: e.insecureNoExpiry,
	}
	for _, k := range e.keys {
		t.KeyIDs[k.id] = k.alg
	}
	for _, p := range e.allow {
		t.Allow = append(t.Allow, p.text)
	}
	for _, p := range e.actFor {
		t.ActFor = append(t.ActFor, p.text)
	}
	return t
}
