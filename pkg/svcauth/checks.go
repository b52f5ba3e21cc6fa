package svcauth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"example.com/micromachine/pkg/logsafe"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// minTokenID and maxTokenID bound the length of a bound token's jti: 128 random bits take 22
// characters of base64url.
const (
	minTokenID = 22
	maxTokenID = 128
)

// checkType checks that the trust entry accepts a token of that kind, and returns whether it is a
// session token.
func checkType(h joseHeader, entry *trust.Entry) (session bool, err error) {
	accepted := false
	switch {
	case h.typ == typSession:
		session, accepted = true, entry.Sessions()
	case !entry.Calls():
	case entry.Profile() == trust.Article:
		accepted = !h.hasTyp || h.typ == typArticle
	default:
		accepted = h.typ == typBound
	}
	if !accepted {
		return session, fmt.Errorf("typ %q is not accepted from this issuer", logsafe.Text(h.typ))
	}
	return session, nil
}

// checkKeyID checks that the token names a key. An article token need not.
func checkKeyID(h *joseHeader, entry *trust.Entry, session bool) error {
	if h.kid == "" && (session || entry.Profile() != trust.Article) {
		return errors.New("no kid")
	}
	return nil
}

// checkAlgorithm checks that the token's algorithm is that of the key, and that the trust entry
// allows it.
func checkAlgorithm(h *joseHeader, entry *trust.Entry, alg keys.Algorithm) error {
	if h.alg != string(alg) || !entry.AllowsAlgorithm(alg) {
		return fmt.Errorf("alg %q is not the key's %s", logsafe.Text(h.alg), alg)
	}
	return nil
}

// checkAudience checks that the token is for the service named audience.
func checkAudience(c *claims, audience string) error {
	if c.Audience != audience {
		return fmt.Errorf("aud is %q, not the name of this service", logsafe.Text(c.Audience))
	}
	return nil
}

// checkTimes checks that the token is valid now, and how long it can be valid. The errors have the
// times of the token and of the clock, as either can be wrong.
func checkTimes(c *claims, entry *trust.Entry, session bool, now time.Time) error {
	if c.ExpiresAt == 0 && (session || !entry.InsecureNoExpiry()) {
		return errors.New("no exp")
	}
	if err := checkClock(c, now); err != nil {
		return err
	}
	switch {
	case c.ExpiresAt == 0:
		return nil
	case c.IssuedAt == 0 && (session || entry.Profile() != trust.Article):
		return errors.New("no iat")
	}
	longest := MaxLifetime
	if session {
		longest = SessionLifetime
	}
	from := c.IssuedAt
	if from == 0 {
		from = now.Add(Leeway).Unix()
	}
	if c.ExpiresAt <= c.IssuedAt || c.ExpiresAt-from > int64(longest.Seconds()) {
		return fmt.Errorf("a lifetime of %d s: at most %v", c.ExpiresAt-from, longest)
	}
	return nil
}

// checkClock checks that the token is valid now.
func checkClock(c *claims, now time.Time) error {
	switch {
	case c.ExpiresAt != 0 && !now.Before(time.Unix(c.ExpiresAt, 0).Add(Leeway)):
		return fmt.Errorf("expired %v ago: %s", distance(c.ExpiresAt, now), clocks(c, now))
	case now.Before(time.Unix(c.NotBefore, 0).Add(-Leeway)):
		return fmt.Errorf("not valid for another %v: %s", distance(c.NotBefore, now), clocks(c, now))
	case now.Before(time.Unix(c.IssuedAt, 0).Add(-Leeway)):
		return fmt.Errorf("issued %v in the future, so that one of the clocks is wrong: %s",
			distance(c.IssuedAt, now), clocks(c, now))
	}
	return nil
}

// distance returns the time between now and a claim's time.
func distance(seconds int64, now time.Time) time.Duration {
	return now.Sub(time.Unix(seconds, 0)).Abs().Round(time.Second)
}

// clocks returns the time of this clock and the times of the token as text.
func clocks(c *claims, now time.Time) string {
	text := fmt.Appendf(nil, "this clock says %s, the token", now.UTC().Format(time.RFC3339))
	for _, t := range [...]struct {
		name    string
		seconds int64
	}{{"iat", c.IssuedAt}, {"nbf", c.NotBefore}, {"exp", c.ExpiresAt}} {
		if t.seconds != 0 {
			text = fmt.Appendf(text, " %s %s", t.name, time.Unix(t.seconds, 0).UTC().Format(time.RFC3339))
		}
	}
	return string(text)
}

// checkClaims checks that the token has the claims of its kind, and none of another kind.
func checkClaims(c *claims, entry *trust.Entry, session bool, call *received) error {
	profile, bound, hasBody := entry.Profile(), c.Method != "" || c.URL != "", c.Body != ""
	switch {
	case c.Subject == "":
		return errors.New("no sub")
	case len(c.ID) > maxTokenID:
		return errors.New("jti is too long")
	case session && (bound || hasBody):
		return errors.New("a session token with htm, htu or bdy")
	case profile == trust.Article && bound:
		return errors.New("an article token with htm or htu")
	case session:
		return nil
	case profile == trust.Bound && len(c.ID) < minTokenID:
		return errors.New("jti is missing or has less than 128 bits")
	case !hasBody && !safeMethod(call.method):
		return errors.New("no bdy")
	case !hasBody && call.length > 0:
		return errUnsignedBody
	}
	return nil
}

// checkRequest compares htm and htu with the call. Scheme and host are this service's own origin,
// which a proxy cannot change. Path and query are as received. Only bound tokens have these claims.
func checkRequest(c *claims, entry *trust.Entry, session bool, call *received, origin string) error {
	if session || entry.Profile() == trust.Article {
		return nil
	}
	if c.Method != call.method {
		return fmt.Errorf("htm %q is not the method", logsafe.Text(c.Method))
	}
	rest, underOrigin := strings.CutPrefix(c.URL, origin)
	query, samePath := strings.CutPrefix(rest, call.path)
	switch {
	case !call.signable:
		return errors.New("the URL is not in the form in which it could be signed")
	case !underOrigin:
		return fmt.Errorf("htu is not under %s", origin)
	case !samePath:
		path, _, _ := strings.Cut(rest, "?")
		return fmt.Errorf("htu has another path, %q", loggedPath(path))
	case query != call.query:
		return errors.New("htu has another query or a longer path") // a query may be confidential
	}
	return nil
}

// checkAllow checks that the trust entry allows the call. A user may make any call with a session
// token.
func checkAllow(entry *trust.Entry, session bool, call *received) error {
	if !session && (!call.signable || !entry.AllowsCall(call.method, call.path)) {
		return errors.New("the trust file does not allow this issuer this call")
	}
	return nil
}

// checkSubject checks that the trust entry allows the subject.
func checkSubject(c *claims, entry *trust.Entry, session bool) error {
	if !entry.AllowsSubject(c.Subject, session) {
		return fmt.Errorf("the trust file does not allow this issuer to act for %q", logsafe.Text(c.Subject))
	}
	return nil
}

// checkBodyLength checks the announced length of the body.
func checkBodyLength(call *received, maxBody int64) error {
	if call.length > maxBody {
		return &http.MaxBytesError{Limit: maxBody}
	}
	return nil
}
