package svcauth

// This file exports parts of the package to its tests.

// ReadToken reads a token as the first two steps of verification do. It returns the header members
// and claims by name, as strings and int64; without those that are absent.
func ReadToken(compact string) (header, claims map[string]any, err error) {
	raw, err := decodeCompact(compact)
	if err != nil {
		return nil, nil, err
	}
	t, err := newTokenCache().readToken(compact, raw)
	if err != nil {
		return nil, nil, err
	}
	header = withoutEmpty(map[string]any{"alg": t.header.alg, "kid": t.header.kid})
	if t.header.hasTyp {
		header["typ"] = t.header.typ
	}
	c := t.claims
	return header, withoutEmpty(map[string]any{
		"iss": c.Issuer, "aud": c.Audience, "sub": c.Subject, "jti": c.ID, "htm": c.Method, "htu": c.URL, "bdy": c.Body,
		"iat": c.IssuedAt, "nbf": c.NotBefore, "exp": c.ExpiresAt,
	}), nil
}

// withoutEmpty removes the empty values.
func withoutEmpty(all map[string]any) map[string]any {
	for name, value := range all {
		if value == "" || value == int64(0) {
			delete(all, name)
		}
	}
	return all
}

// MaxCachedTokens is how many verified tokens a verifier caches.
const MaxCachedTokens = maxCachedTokens

// CachedTokens returns how many verified tokens the verifier caches.
func (v *Verifier) CachedTokens() int { return v.cache.tokens.Len() }
