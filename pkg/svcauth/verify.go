package svcauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"example.com/micromachine/pkg/logsafe"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
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
	req     *http.Request
	target  target // of the request
	maxBody int64

	sum      tokenSum
	seen     bool // the token has passed before
	token    *token
	issuer   *issuer
	session  bool
	hasBody  bool   // the token has a bdy, and so can do more than read
	provedBy string // thumbprint of the key that the signature is of; empty until it is verified
	key      keys.Public
	body     io.ReadCloser // for the handler
	bodyRead bool          // to its end
}

// run makes the checks in their order and stops at the first that fails. Time and trust are checked
// again after each wait for the body or the replay store.
func (v *verification) run(ctx context.Context) *Refusal {
	refusal := v.read()
	if refusal == nil {
		refusal = v.check(ctx)
	}
	if refusal == nil {
		refusal = v.takeBody(ctx)
	}
	if refusal == nil && v.bodyRead {
		refusal = v.check(ctx)
	}
	if refusal == nil {
		refusal = v.admit(ctx)
	}
	if refusal == nil && v.mustBurn() {
		if refusal = v.burn(ctx); refusal == nil {
			refusal = v.check(ctx)
		}
	}
	if refusal == nil && !v.seen && !v.hasBody {
		v.Verifier.seen.add(v.sum, v.token, v.key)
	}
	return v.describe(refusal)
}

// describe adds to a refusal what is known of the call.
func (v *verification) describe(refusal *Refusal) *Refusal {
	if refusal == nil {
		return nil
	}
	refusal.bodyRead = v.bodyRead
	if v.token != nil {
		refusal.Issuer, refusal.KeyID = v.token.claims.Issuer, v.token.header.kid
	}
	return refusal
}

// check makes all checks whose result can change with time: those of the trust entry, the key, the
// claims and the call. A look-up of the key can wait for the network: if the trust file in force
// has changed by the end, all are made again.
func (v *verification) check(ctx context.Context) *Refusal {
	for {
		inForce := v.inForce.Load()
		refusal := v.identify(inForce)
		if refusal == nil && v.provedBy == "" {
			refusal = v.expect(ctx)
		}
		if refusal == nil {
			refusal = v.authenticate(ctx)
		}
		if refusal == nil {
			refusal = v.authorize()
		}
		if v.inForce.Load() == inForce {
			return refusal
		}
	}
}

// identify finds the trust entry of the token's issuer and the kind of token.
func (v *verification) identify(issuers *issuersInForce) *Refusal {
	issuer := (*issuers)[v.token.claims.Issuer]
	if issuer == nil {
		return refuse(CheckIssuer, errors.New("not in the trust file"))
	}
	v.issuer = issuer
	var ok bool
	if v.session, ok = v.issuer.accepts(v.token.header); !ok {
		return refuse(CheckType, fmt.Errorf("typ %q is not accepted from this issuer", logsafe.Text(v.token.header.typ)))
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
	if seen := v.Verifier.seen.get(v.sum); seen != nil {
		v.seen, v.token, v.provedBy = true, &seen.token, seen.key.Thumbprint()
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

// authenticate checks signature and claims with golang-jwt, and what golang-jwt does not know of.
// The signature of a token that was verified before, for this request or another, is not verified
// again while the key that it names is the same; the clock goes on.
func (v *verification) authenticate(ctx context.Context) *Refusal {
	var err error
	if v.key, err = v.findKey(ctx); err != nil {
		return refuse(CheckKey, err)
	}
	switch v.provedBy {
	case "":
		if refusal := v.checkSignature(); refusal != nil {
			return refusal
		}
		v.provedBy = v.key.Thumbprint()
	case v.key.Thumbprint():
	default:
		return refuse(CheckSignature, errors.New("the key that proved it is no longer the issuer's"))
	}
	if err := v.checkTimes(); err != nil {
		return refuse(CheckTime, err)
	}
	if err := v.checkClaims(); err != nil {
		return refuse(CheckClaims, err)
	}
	if v.session || v.issuer.entry.Profile() == trust.Article {
		return nil
	}
	if err := v.checkRequest(); err != nil {
		return refuse(CheckRequest, err)
	}
	return nil
}

// checkSignature verifies the signature and what golang-jwt knows of the claims.
func (v *verification) checkSignature() *Refusal {
	if err := v.key.Verify(v.token.signed(), v.token.signature); err != nil {
		return refuse(CheckSignature, err)
	}
	switch err := v.issuer.validator.Validate(&v.token.claims); {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrTokenInvalidAudience), v.token.claims.Audience == "":
		return refuse(CheckAudience, fmt.Errorf("%w: aud is %q", err, logsafe.Text(v.token.claims.Audience)))
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet),
		errors.Is(err, jwt.ErrTokenUsedBeforeIssued), errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return refuse(CheckTime, cmp.Or(v.checkTimes(), err))
	default:
		return refuse(CheckClaims, err)
	}
}

// findKey returns the issuer's key that the token names, pinned to the algorithm that the token names.
func (v *verification) findKey(ctx context.Context) (keys.Public, error) {
	h := &v.token.header
	if h.kid == "" && (v.session || v.issuer.entry.Profile() != trust.Article) {
		return keys.Public{}, errors.New("no kid")
	}
	key, err := v.issuer.key(ctx, h.kid)
	if err != nil {
		return keys.Public{}, err
	}
	if string(key.Algorithm()) != h.alg || !v.issuer.entry.AllowsAlgorithm(key.Algorithm()) {
		return keys.Public{}, fmt.Errorf("alg %q is not the key's %s", logsafe.Text(h.alg), key.Algorithm())
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
	case v.issuer.entry.Profile() == trust.Article && bound:
		return errors.New("an article token with htm or htu")
	case v.session:
		return nil
	case v.issuer.entry.Profile() == trust.Bound && len(c.ID) < minTokenID:
		return errors.New("jti is missing or has less than 128 bits")
	case !v.hasBody && !safeMethod(v.req.Method):
		return errors.New("no bdy")
	case !v.hasBody && v.req.ContentLength > 0:
		return errUnsignedBody
	}
	return nil
}

// safeMethod reports whether a request with that method can only read (RFC 9110 section 9.2.1), and so needs no bdy.
func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// checkRequest compares htm and htu with the request. Scheme and host are this service's own name, which a proxy in
// between cannot change; path and query are as received.
func (v *verification) checkRequest() error {
	c := &v.token.claims
	if c.Method != v.req.Method {
		return fmt.Errorf("htm %q is not the method", logsafe.Text(c.Method))
	}
	rest, underOrigin := strings.CutPrefix(c.URL, v.origin)
	query, samePath := strings.CutPrefix(rest, v.target.path)
	switch {
	case !v.target.ok:
		return errors.New("the URL is not in the form in which it could be signed")
	case !underOrigin:
		return fmt.Errorf("htu is not under %s", v.origin)
	case !samePath:
		path, _, _ := strings.Cut(rest, "?")
		return fmt.Errorf("htu has another path, %q", loggedPath(path))
	case query != v.target.query:
		return errors.New("htu has another query or a longer path") // which may be nobody's business, in a log
	}
	return nil
}

// authorize checks that the trust entry allows the call and the subject.
func (v *verification) authorize() *Refusal {
	if !v.session && (!v.target.ok || !v.issuer.entry.AllowsCall(v.req.Method, v.target.path)) {
		return refuse(CheckAllow, errors.New("the trust file does not allow this issuer this call"))
	}
	if sub := v.token.claims.Subject; !v.issuer.entry.AllowsSubject(sub, v.session) {
		return refuse(CheckSubject, fmt.Errorf("the trust file does not allow this issuer to act for %q", logsafe.Text(sub)))
	}
	return nil
}

// mustBurn reports whether the token works once.
func (v *verification) mustBurn() bool {
	return v.hasBody && v.token.claims.ID != "" && v.replay != nil
}

// burn uses up the token.
func (v *verification) burn(ctx context.Context) *Refusal {
	c := &v.token.claims
	var until time.Time
	if c.ExpiresAt != 0 {
		until = time.Unix(c.ExpiresAt, 0).Add(Leeway)
	}
	ctx, cancel := context.WithTimeout(withClock(ctx, v.now), replayTimeout)
	defer cancel()
	first, err := v.replay.Burn(ctx, c.Issuer, c.ID, until)
	if err != nil {
		return refuse(CheckReplay, fmt.Errorf("%w: %w", errReplayUnavailable, err))
	}
	if !first {
		return refuse(CheckReplay, errors.New("the token was used before, or has expired by the clock of the replay store"))
	}
	return nil
}

// identities returns whom the checks have established.
func (v *verification) identities() identities {
	c := &v.token.claims
	return identities{
		caller:  Caller{Issuer: c.Issuer, KeyID: v.token.header.kid, Session: v.session, Admin: !v.session && v.issuer.entry.Admin()},
		subject: Subject(c.Subject),
	}
}
