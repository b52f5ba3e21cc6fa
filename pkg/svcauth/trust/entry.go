package trust

import (
	"slices"
	"strings"

	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
	"example.com/micromachine/pkg/svcauth/keys"
)

// An Entry is an issuer that passed the checks, ready to match calls and subjects. It never
// changes.
type Entry struct {
	issuer    Issuer
	keySetURL string
	allow     []callPattern
	actFor    []subjectPattern
	keys      keys.Set // of the key file, or built in
	at        lines
}

// Issuer returns the issuer's name.
func (e *Entry) Issuer() string { return e.issuer.Name }

// Profile returns the form of the issuer's tokens.
func (e *Entry) Profile() Profile { return e.issuer.Profile }

// Calls reports whether the issuer may make any calls.
func (e *Entry) Calls() bool { return len(e.allow) > 0 }

// Sessions reports whether the issuer issues session tokens.
func (e *Entry) Sessions() bool { return e.issuer.Sessions }

// Admin reports whether the issuer may use its subjects' administrative power.
func (e *Entry) Admin() bool { return e.issuer.Admin }

// InsecureNoExpiry reports whether the issuer's article tokens need no exp.
func (e *Entry) InsecureNoExpiry() bool { return e.issuer.InsecureNoExpiry }

// KeySetURL returns the URL from which the issuer's keys are fetched; empty if they are not
// fetched.
func (e *Entry) KeySetURL() string { return e.keySetURL }

// Keys returns the issuer's keys if they are not fetched. The caller must not change them.
func (e *Entry) Keys() keys.Set { return e.keys }

// AllowsAlgorithm reports whether the issuer's keys may be of that algorithm.
func (e *Entry) AllowsAlgorithm(a keys.Algorithm) bool {
	return len(e.issuer.Algorithms) == 0 || slices.Contains(e.issuer.Algorithms, a)
}

// AllowsCall reports whether the issuer may call that method and path. The path is percent-encoded,
// as it is sent.
func (e *Entry) AllowsCall(method, path string) bool { return e.matchCall(method, path) >= 0 }

// matchCall returns the index of the first line of allow that matches; -1 if none does.
func (e *Entry) matchCall(method, path string) int {
	return slices.IndexFunc(e.allow, func(p callPattern) bool { return p.match(method, path) })
}

// AllowsSubject reports whether the issuer may act for subject: for itself always, for others as
// act_for says. The subject of a session token must be one of the issuer's own users, whose URI is
// under the issuer's name.
func (e *Entry) AllowsSubject(subject string, session bool) bool {
	if session {
		rest, ok := strings.CutPrefix(subject, e.issuer.Name)
		return ok && serviceurl.CleanPath("/"+rest)
	}
	return subject == e.issuer.Name || e.matchSubject(subject) >= 0
}

// matchSubject returns the index of the first line of act_for that matches; -1 if none does.
func (e *Entry) matchSubject(subject string) int {
	return slices.IndexFunc(e.actFor, func(p subjectPattern) bool { return p.match(subject) })
}
