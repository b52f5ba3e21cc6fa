package svcauth

import (
	"errors"
	"fmt"
	"time"

	"example.com/micromachine/pkg/svcauth/trust"
)

// checkTimes checks that the token is valid now, and bounds how long it can be valid. Its errors tell the operator what
// the token says and what the clock says, as one of the clocks may be wrong.
func (v *verification) checkTimes() error {
	c, now := &v.token.claims, v.now()
	switch {
	case c.ExpiresAt == 0 && (v.session || !v.issuer.entry.InsecureNoExpiry()):
		return errors.New("no exp")
	case c.ExpiresAt != 0 && !now.Before(time.Unix(c.ExpiresAt, 0).Add(Leeway)):
		return fmt.Errorf("expired %v ago: %s", away(c.ExpiresAt, now), v.clocks(now))
	case now.Before(time.Unix(c.NotBefore, 0).Add(-Leeway)):
		return fmt.Errorf("not valid for another %v: %s", away(c.NotBefore, now), v.clocks(now))
	case now.Before(time.Unix(c.IssuedAt, 0).Add(-Leeway)):
		return fmt.Errorf("issued %v in the future, so that one of the clocks is wrong: %s", away(c.IssuedAt, now), v.clocks(now))
	}
	return v.checkLifetime(now)
}

// away is how far a claim's time is from now.
func away(seconds int64, now time.Time) time.Duration {
	return now.Sub(time.Unix(seconds, 0)).Abs().Round(time.Second)
}

// clocks tells what this clock and the token say.
func (v *verification) clocks(now time.Time) string {
	text := fmt.Appendf(nil, "this clock says %s, the token", now.UTC().Format(time.RFC3339))
	c := &v.token.claims
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

// checkLifetime bounds how long the token can be valid.
func (v *verification) checkLifetime(now time.Time) error {
	c := &v.token.claims
	longest := MaxLifetime
	if v.session {
		longest = SessionLifetime
	}
	if c.ExpiresAt == 0 {
		return nil // insecure_no_expiry
	}
	from := c.IssuedAt
	if from == 0 {
		if v.session || v.issuer.entry.Profile() != trust.Article {
			return errors.New("no iat")
		}
		from = now.Add(Leeway).Unix()
	}
	if c.ExpiresAt <= c.IssuedAt || c.ExpiresAt-from > int64(longest.Seconds()) {
		return fmt.Errorf("a lifetime of %d s: at most %v", c.ExpiresAt-from, longest)
	}
	return nil
}
