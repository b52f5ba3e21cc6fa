package svcauth

import (
	"context"

	"github.com/golang-jwt/jwt/v5"

	"example.com/micromachine/pkg/svcauth/internal/keyset"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// issuersInForce are the issuers of the trust policy in force, by name.
type issuersInForce map[string]*issuer

// An issuer is an issuer of the trust policy in force.
type issuer struct {
	entry     *trust.Entry
	published *keyset.Set // nil if the keys are not fetched
	validator *jwt.Validator
	counters  *counters
}

// accepts reports whether the issuer may sign tokens with that header at all, and whether it is a
// session token.
func (i *issuer) accepts(h joseHeader) (session, ok bool) {
	if h.typ == typSession {
		return true, i.entry.Sessions()
	}
	switch {
	case !i.entry.Calls():
		return false, false
	case i.entry.Profile() == trust.Article:
		return false, !h.hasTyp || h.typ == typArticle
	default:
		return false, h.typ == typBound
	}
}

// key returns the issuer's key named kid. An empty kid stands for the issuer's one key.
func (i *issuer) key(ctx context.Context, kid string) (keys.Public, error) {
	if i.published != nil {
		return i.published.Lookup(ctx, kid) //nolint:wrapcheck // it says enough
	}
	key, ok := i.entry.Keys().Find(kid)
	if !ok {
		return key, keyset.ErrUnknownKey
	}
	return key, nil
}

// apply puts a trust policy in force.
func (v *Verifier) apply(policy *trust.Policy) {
	urls, pinned := map[string]string{}, map[string]string{}
	for _, e := range policy.Entries() {
		if url := e.KeySetURL(); url != "" {
			urls[e.Issuer()] = url
		}
		for _, key := range e.Keys() {
			pinned[key.Thumbprint()] = e.Issuer()
		}
	}
	v.sets.Replace(urls, pinned, func(sets map[string]*keyset.Set) {
		issuers := issuersInForce{}
		for _, e := range policy.Entries() {
			issuers[e.Issuer()] = &issuer{e, sets[e.Issuer()], v.validator(e), v.countersOf(e.Issuer())}
		}
		v.inForce.Store(&issuers)
	})
}

// validator returns golang-jwt's checks of an issuer's claims.
func (v *Verifier) validator(entry *trust.Entry) *jwt.Validator {
	options := []jwt.ParserOption{
		jwt.WithIssuer(entry.Issuer()),
		jwt.WithAudience(v.audience),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(Leeway),
		jwt.WithTimeFunc(v.now),
	}
	if !entry.InsecureNoExpiry() {
		options = append(options, jwt.WithExpirationRequired())
	}
	return jwt.NewValidator(options...)
}
