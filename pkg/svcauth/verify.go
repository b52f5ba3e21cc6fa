package svcauth

import (
	"bytes"
	"cmp"
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
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// minTokenID and maxTokenID bound the length of a bound token's jti: 128 random bits take 22 characters of base64url.
const (
	minTokenID = 22
	maxTokenID = 128
)

// replayTimeout is how long the replay store may take to answer.
const replayTimeout = 2 * time.Second

var errReplayUnavailable = errors.New("the replay store cannot answer")

// A verification is one pass over one request, step by step.
type verification struct {
	*Verifier
	issuers map[string]*issuer
	req     *http.Request
	maxBody int64

	sum     tokenSum
	seen    *seenToken // where the token has passed before
	token   *token
	issuer  *issuer
	session bool
	hasBody bool // the token has a bdy, and so can do more than read
	key     publicKey
	body    io.ReadCloser // for the handler
}

// run makes the checks in their order and stops at the first that fails.
func (v *verification) run(ctx context.Context) *Refusal {
	refusal := v.identify()
	if refusal == nil {
		refusal = v.authenticate(ctx)
	}
	if refusal == nil {
		refusal = v.authorize()
	}
	if refusal == nil {
		refusal = v.matchBody()
	}
	if refusal == nil {
		refusal = v.burn(ctx)
	}
	if refusal != nil && v.token != nil {
		refusal.Issuer, refusal.KeyID = v.token.claims.Issuer, v.token.header.kid
	}
	if refusal == nil && v.seen == nil && !v.hasBody {
		v.Verifier.seen.add(v.sum, v.token, v.key)
	}
	return refusal
}

// identify reads the token strictly, and finds its issuer's trust entry and the kind of token.
func (v *verification) identify() *Refusal {
	if refusal := v.read(); refusal != nil {
		return refusal
	}
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

// read takes the token from the request and reads it strictly, unless that was done before.
func (v *verification) read() *Refusal {
	compact, err := tokenFrom(v.req.Header)
	if err != nil {
		return refuse(CheckHeader, err)
	}
	v.sum = sumToken(compact)
	if v.seen = v.Verifier.seen.get(v.sum); v.seen != nil {
		v.token = &v.seen.token
		return nil
	}
	raw, err := decodeCompact(compact)
	if err != nil {
		return refuse(CheckEncoding, err)
	}
	if v.token, err = readToken(compact, raw, v.Verifier.seen); err != nil {
		return refuse(CheckJSON, err)
	}
	return nil
}

// authenticate checks signature and claims with golang-jwt, and what golang-jwt does not know of. The signature of a
// token that has passed before is not verified again while the key that it names is the same; the clock goes on.
func (v *verification) authenticate(ctx context.Context) *Refusal {
	var err error
	if v.key, err = v.findKey(ctx); err != nil {
		return refuse(CheckKey, err)
	}
	switch {
	case v.seen == nil:
		if refusal := v.checkSignature(); refusal != nil {
			return refusal
		}
	case v.seen.key.thumbprint != v.key.thumbprint:
		return refuse(CheckSignature, errors.New("the key that proved it is no longer the issuer's"))
	}
	if err := v.checkTimes(); err != nil {
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

// checkSignature verifies the signature and what golang-jwt knows of the claims.
func (v *verification) checkSignature() *Refusal {
	if err := v.key.alg.method().Verify(v.token.signed(), v.token.signature, v.key.key); err != nil {
		return refuse(CheckSignature, err)
	}
	switch err := v.issuer.validator.Validate(&v.token.claims); {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrTokenInvalidAudience), v.token.claims.Audience == "":
		return refuse(CheckAudience, fmt.Errorf("%w: aud is %q", err, clip(v.token.claims.Audience)))
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet),
		errors.Is(err, jwt.ErrTokenUsedBeforeIssued), errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return refuse(CheckTime, cmp.Or(v.checkTimes(), err))
	default:
		return refuse(CheckClaims, err)
	}
}

// findKey returns the issuer's key that the token names, pinned to the algorithm that the token names.
func (v *verification) findKey(ctx context.Context) (publicKey, error) {
	h := &v.token.header
	if h.kid == "" && (v.session || v.issuer.profile != Article) {
		return publicKey{}, errors.New("no kid")
	}
	key, err := v.issuer.source.lookup(ctx, h.kid)
	if err != nil {
		return publicKey{}, err
	}
	if string(key.alg) != h.alg || !v.issuer.allowsAlgorithm(key.alg) {
		return publicKey{}, fmt.Errorf("alg %q is not the key's %s", clip(h.alg), key.alg)
	}
	return key, nil
}

// checkClaims checks that the token has the claims of its kind, and none that belong to another.
func (v *verification) checkClaims() error {
	c := &v.token.claims
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
	c := &v.token.claims
	if c.Method != v.req.Method {
		return fmt.Errorf("htm %q is not the method", clip(c.Method))
	}
	path, ok := sentPath(v.req.URL)
	rest, underOrigin := strings.CutPrefix(c.URL, v.origin)
	query, samePath := strings.CutPrefix(rest, cmp.Or(path, "/"))
	switch {
	case !ok:
		return errors.New("the URL is not in the form in which it could be signed")
	case !underOrigin:
		return fmt.Errorf("htu is not under %s", v.origin)
	case !samePath:
		path, _, _ := strings.Cut(rest, "?")
		return fmt.Errorf("htu has another path, %q", clip(loggedPath(path)))
	case !sameQuery(query, v.req.URL):
		return errors.New("htu has another query or a longer path") // which may be nobody's business, in a log
	}
	return nil
}

// sameQuery reports whether query, which is all that htu has after the path, is that of u, with its question mark.
func sameQuery(query string, u *url.URL) bool {
	if u.RawQuery == "" && !u.ForceQuery {
		return query == ""
	}
	return query != "" && query[0] == '?' && query[1:] == u.RawQuery
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
	v.body = v.req.Body
	if v.body == nil {
		v.body = http.NoBody // as a request that never was on the wire may have it
	}
	if v.req.ContentLength > v.maxBody {
		return refuse(CheckBody, &http.MaxBytesError{Limit: v.maxBody})
	}
	if v.body != http.NoBody {
		v.body = http.MaxBytesReader(nil, v.body, v.maxBody)
	}
	if !v.hasBody {
		return nil
	}
	body, err := io.ReadAll(v.body)
	if err != nil {
		return refuse(CheckBody, fmt.Errorf("reading body: %w", err))
	}
	want := bodyHash(v.issuer.profile, body)
	if subtle.ConstantTimeCompare([]byte(want), []byte(v.token.claims.Body)) != 1 {
		return refuse(CheckBody, errors.New("bdy is not the hash of the body"))
	}
	v.body = io.NopCloser(bytes.NewReader(body))
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
func (v *verification) burn(ctx context.Context) *Refusal {
	c := &v.token.claims
	if !v.hasBody || c.ID == "" || v.replay == nil {
		return nil
	}
	var until time.Time
	if c.ExpiresAt != 0 {
		until = time.Unix(c.ExpiresAt, 0).Add(Leeway)
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	first, err := v.replay.Burn(ctx, c.Issuer, c.ID, until)
	if err != nil {
		return refuse(CheckReplay, fmt.Errorf("%w: %w", errReplayUnavailable, err))
	}
	if !first {
		return refuse(CheckReplay, errors.New("the token was used before"))
	}
	return nil
}

// identities returns whom the checks have established.
func (v *verification) identities() identities {
	c := &v.token.claims
	return identities{
		caller:  Caller{Issuer: c.Issuer, KeyID: v.token.header.kid, Session: v.session, Admin: !v.session && v.issuer.admin},
		subject: Subject(c.Subject),
	}
}
