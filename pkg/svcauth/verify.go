package svcauth

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what the article prints; the profile must be enabled for each issuer
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// minTokenID and maxTokenID bound the length of a bound token's jti: 128 random bits take 22 characters of base64url.
const (
	minTokenID = 22
	maxTokenID = 128
)

var errReplayUnavailable = errors.New("the replay store cannot answer")

// A verification is one pass over one request, step by step.
type verification struct {
	*Verifier
	issuers map[string]*issuer
	req     *http.Request
	maxBody int64

	token   *token
	issuer  *issuer
	session bool
	hasBody bool // the token has a bdy, and so can do more than read
}

// run makes the checks in their order and stops at the first that fails.
func (v *verification) run() *Refusal {
	for _, step := range []func() *Refusal{
		v.read, v.identify, v.authenticate, v.authorize, v.matchBody, v.burn,
	} {
		if refusal := step(); refusal != nil {
			if v.token != nil {
				refusal.Issuer, refusal.KeyID = v.token.claims.Issuer, v.token.header.kid
			}
			return refusal
		}
	}
	return nil
}

// read takes the token from the request and reads it strictly.
func (v *verification) read() *Refusal {
	compact, err := tokenFrom(v.req.Header)
	if err != nil {
		return refuse(CheckHeader, err)
	}
	header, payload, err := decodeCompact(compact)
	if err != nil {
		return refuse(CheckEncoding, err)
	}
	if v.token, err = readToken(compact, header, payload); err != nil {
		return refuse(CheckJSON, err)
	}
	return nil
}

// identify finds the trust entry of the token's issuer and the kind of token.
func (v *verification) identify() *Refusal {
	v.issuer = v.issuers[v.token.claims.Issuer]
	if v.issuer == nil {
		return refuse(CheckIssuer, errors.New("not in the trust file"))
	}
	var ok bool
	if v.session, ok = v.issuer.accepts(v.token.header); !ok {
		return refuse(CheckType, fmt.Errorf("typ %q is not accepted from this issuer", clip(v.token.header.typ)))
	}
	v.hasBody = v.token.claims.Body != ""
	return nil
}

// authenticate checks signature and claims with golang-jwt, and what golang-jwt does not know of.
func (v *verification) authenticate() *Refusal {
	key, err := v.key()
	if err != nil {
		return refuse(CheckKey, err)
	}
	_, err = v.issuer.parser.ParseWithClaims(v.token.compact, &strictClaims{&v.token.claims, v.token.payload}, func(*jwt.Token) (any, error) {
		return key.key, nil
	})
	if err != nil {
		return refuse(v.checkOf(err), err)
	}
	if err := v.checkLifetime(); err != nil {
		return refuse(CheckTime, err)
	}
	if err := v.checkClaims(); err != nil {
		return refuse(CheckClaims, err)
	}
	if v.session || v.issuer.profile == Article {
		return nil
	}
	if err := v.checkRequest(); err != nil {
		return refuse(CheckRequest, err)
	}
	return nil
}

// key returns the issuer's key that the token names, pinned to the algorithm that the token names.
func (v *verification) key() (publicKey, error) {
	h := v.token.header
	if h.kid == "" && (v.session || v.issuer.profile != Article) {
		return publicKey{}, errors.New("no kid")
	}
	key, err := v.issuer.source.lookup(v.req.Context(), h.kid)
	if err != nil {
		return publicKey{}, err
	}
	if string(key.alg) != h.alg || !v.issuer.allowsAlgorithm(key.alg) {
		return publicKey{}, fmt.Errorf("alg %q is not the key's %s", clip(h.alg), key.alg)
	}
	return key, nil
}

// checkOf names the check that an error of golang-jwt stands for, to which a missing aud is like a missing exp.
func (v *verification) checkOf(err error) Check {
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return CheckSignature
	case errors.Is(err, jwt.ErrTokenInvalidAudience), v.token.claims.Audience == "":
		return CheckAudience
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet),
		errors.Is(err, jwt.ErrTokenUsedBeforeIssued), errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return CheckTime
	default:
		return CheckClaims
	}
}

// checkLifetime bounds how long the token can be valid. golang-jwt has seen that it is valid now.
func (v *verification) checkLifetime() error {
	c := v.token.claims
	longest := MaxLifetime
	if v.session {
		longest = SessionLifetime
	}
	if c.ExpiresAt == 0 {
		return nil // allowed by insecure_no_expiry, or golang-jwt would have refused it
	}
	from := c.IssuedAt
	if from == 0 {
		if v.session || v.issuer.profile != Article {
			return errors.New("no iat")
		}
		from = v.now().Add(Leeway).Unix()
	}
	if c.ExpiresAt <= c.IssuedAt || c.ExpiresAt-from > int64(longest.Seconds()) {
		return fmt.Errorf("a lifetime of %d s: at most %v", c.ExpiresAt-from, longest)
	}
	return nil
}

// checkClaims checks that the token has the claims of its kind, and none that belong to another.
func (v *verification) checkClaims() error {
	c := v.token.claims
	bound := c.Method != "" || c.URL != ""
	switch {
	case c.Subject == "":
		return errors.New("no sub")
	case len(c.ID) > maxTokenID:
		return errors.New("jti is too long")
	case v.session && (bound || v.hasBody):
		return errors.New("a session token with htm, htu or bdy")
	case v.issuer.profile == Article && bound:
		return errors.New("an article token with htm or htu")
	case v.session:
		return nil
	case v.issuer.profile == Bound && len(c.ID) < minTokenID:
		return errors.New("jti is missing or has less than 128 bits")
	case !v.hasBody && !safeMethod(v.req.Method):
		return errors.New("no bdy")
	case !v.hasBody && v.req.ContentLength != 0:
		return errors.New("a body, and no bdy")
	}
	return nil
}

// safeMethod reports whether a request with that method can only read (RFC 9110 section 9.2.1), and so needs no bdy.
func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// checkRequest compares htm and htu with the request. Scheme and host are this service's own name, which a proxy in
// between cannot change; path and query are as sent.
func (v *verification) checkRequest() error {
	c := v.token.claims
	if c.Method != v.req.Method {
		return fmt.Errorf("htm %q is not the method", clip(c.Method))
	}
	if _, ok := sentPath(v.req.URL); !ok || c.URL != origin(v.audience)+v.req.URL.RequestURI() {
		return errors.New("htu is not the URL")
	}
	return nil
}

// sentPath returns the path as it was sent. It reports false where net/url had to mend it, for a character that must be
// encoded, or found none: the path it then shows is one spelling among several.
func sentPath(u *url.URL) (path string, ok bool) {
	path = u.EscapedPath()
	return path, u.Opaque == "" && (u.RawPath == "" || u.RawPath == path)
}

// authorize checks that the trust entry allows the call and the subject.
func (v *verification) authorize() *Refusal {
	if path, ok := sentPath(v.req.URL); !v.session && (!ok || !v.issuer.allowsCall(v.req.Method, path)) {
		return refuse(CheckAllow, errors.New("the trust file does not allow this issuer this call"))
	}
	if sub := v.token.claims.Subject; !v.issuer.allowsSubject(sub, v.session) {
		return refuse(CheckSubject, fmt.Errorf("the trust file does not allow this issuer to act for %q", clip(sub)))
	}
	return nil
}

// matchBody reads the body within its limit, compares it with bdy, and puts it back for the handler. A session token
// says nothing of the body, which is then left to the handler, with the same limit.
func (v *verification) matchBody() *Refusal {
	if v.req.Body == nil {
		v.req.Body = http.NoBody // as a request that never was on the wire may have it
	}
	v.req.Body = http.MaxBytesReader(nil, v.req.Body, v.maxBody)
	if !v.hasBody {
		return nil
	}
	body, err := io.ReadAll(v.req.Body)
	if err != nil {
		return refuse(CheckBody, fmt.Errorf("reading body: %w", err))
	}
	want := bodyHash(v.issuer.profile, body)
	if subtle.ConstantTimeCompare([]byte(want), []byte(v.token.claims.Body)) != 1 {
		return refuse(CheckBody, errors.New("bdy is not the hash of the body"))
	}
	v.req.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// bodyHash returns the bdy claim of a body: in the form of RFC 9530 (Content-Digest) for bound tokens, as the article
// prints it for the others.
func bodyHash(profile Profile, body []byte) string {
	if profile == Article {
		sum := md5.Sum(body) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// burn uses up a token that can do more than read.
func (v *verification) burn() *Refusal {
	c := v.token.claims
	if !v.hasBody || c.ID == "" {
		return nil
	}
	var until time.Time
	if c.ExpiresAt != 0 {
		until = time.Unix(c.ExpiresAt, 0).Add(Leeway)
	}
	first, err := v.replay.Burn(v.req.Context(), c.Issuer, c.ID, until)
	if err != nil {
		return refuse(CheckReplay, fmt.Errorf("%w: %w", errReplayUnavailable, err))
	}
	if !first {
		return refuse(CheckReplay, errors.New("the token was used before"))
	}
	return nil
}

// identities returns ctx with whom the checks have established.
func (v *verification) identities(ctx context.Context) context.Context {
	c := v.token.claims
	return context.WithValue(ctx, identitiesKey{}, identities{
		caller:  Caller{Issuer: c.Issuer, KeyID: v.token.header.kid, Session: v.session, Admin: !v.session && v.issuer.admin},
		subject: Subject(c.Subject),
	})
}
