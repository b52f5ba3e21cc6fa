package svcauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
)

// replayTimeout is how long the replay store may take to answer.
const replayTimeout = 2 * time.Second

// Verify checks a request, as [Verifier.Require] does, for handlers that answer refusals
// themselves. It returns the request to handle: its context has the caller, the subject and their
// claims, and its body can still be read. The error is always a [*Refusal], and has been logged.
//
// The body of a request is read after its token has passed all checks before that of the body, and
// no more of it than maxBody bytes. After it has been read, and again after the replay store has
// answered, the checks that depend on time, trust and keys are made once more.
//
// The handler reads the body of a session token's request, which the token does not cover. Reading
// it fails with an [http.MaxBytesError] after maxBody bytes, and with a [*Refusal] when the token
// has expired, or is no longer accepted, before the body has arrived.
//
// Method and URL are those that were received, [http.Request.Method] and [http.Request.RequestURI],
// whatever routers have made of [http.Request.URL]. A request without RequestURI, which was not
// received, has only its URL.
func (v *Verifier) Verify(r *http.Request, maxBody int64) (*http.Request, error) {
	compact, err := tokenFrom(r.Header)
	check := verification{verifier: v, call: receivedRequest(r), compact: compact, maxBody: maxBody}
	if refusal := check.decide(r.Context(), err); refusal != nil {
		return nil, refusal
	}
	passed := r.WithContext(&identityContext{r.Context(), check.identity()})
	passed.Body = check.call.body
	return passed, nil
}

// VerifyCall checks the token of a call that need not be an HTTP request, with all checks of
// [Verifier.Verify]. It compares the token with the call's Method, URL and Body. The error is
// always a [*Refusal], and has been logged.
func (v *Verifier) VerifyCall(ctx context.Context, token string, call Call) (Identity, error) {
	check := verification{verifier: v, call: receivedCall(&call, v.origin), compact: token, maxBody: int64(len(call.Body))}
	if refusal := check.decide(ctx, checkLength(token)); refusal != nil {
		return Identity{}, refusal
	}
	return check.identity(), nil
}

// A verification is the state of the checks of one call.
type verification struct {
	verifier *Verifier
	call     received
	compact  string // the token as it was sent
	maxBody  int64

	sum      tokenSum
	token    *token
	cached   bool // the token was verified for another call
	issuer   *issuer
	session  bool
	key      keys.Public
	provedBy string // the thumbprint of the key that verified the signature; empty if none has
	bodyRead bool   // to its end
	refusal  *Refusal
}

// run makes the checks in their order and stops at the first that fails.
func (v *verification) run(ctx context.Context) bool {
	return v.read() &&
		v.check(ctx) &&
		v.checkBody(ctx) &&
		(!v.bodyRead || v.check(ctx)) && // reading can take any time
		v.passes(CheckAdmission, v.admitted(ctx)) &&
		(!v.worksOnce() || v.passes(CheckReplay, v.burn(ctx)) && v.check(ctx))
}

// checkWith makes all checks whose result can change with time, with the policy p.
func (v *verification) checkWith(ctx context.Context, p *policy) bool {
	c, config := &v.token.claims, &v.verifier.config
	return v.passes(CheckIssuer, v.findIssuer(p)) &&
		v.passes(CheckType, v.findType()) &&
		v.passes(CheckAdmission, v.expected(ctx)) &&
		v.passes(CheckKey, v.findKey(ctx)) &&
		v.passes(CheckSignature, v.checkSignature()) &&
		v.passes(CheckAudience, checkAudience(c, config.Audience)) &&
		v.passes(CheckTime, checkTimes(c, v.issuer.entry, v.session, config.Now())) &&
		v.passes(CheckClaims, checkClaims(c, v.issuer.entry, v.session, &v.call)) &&
		v.passes(CheckRequest, checkRequest(c, v.issuer.entry, v.session, &v.call, v.verifier.origin)) &&
		v.passes(CheckAllow, checkAllow(v.issuer.entry, v.session, &v.call)) &&
		v.passes(CheckSubject, checkSubject(c, v.issuer.entry, v.session))
}

// passes notes the result of a check, and reports whether the call passed it.
func (v *verification) passes(check Check, err error) bool {
	if err != nil {
		v.refusal = refuse(check, err)
	}
	return err == nil
}

// read decodes and reads the token, unless it is cached.
func (v *verification) read() bool {
	v.sum = sumToken(v.compact)
	if cached := v.verifier.cache.get(v.sum); cached != nil {
		v.cached, v.token, v.provedBy = true, &cached.token, cached.key.Thumbprint()
		return true
	}
	raw, err := decodeCompact(v.compact)
	if !v.passes(CheckEncoding, err) {
		return false
	}
	v.token, err = v.verifier.cache.readToken(v.compact, raw)
	return v.passes(CheckJSON, err)
}

// check makes all checks whose result can change with time, with the policy in force. The look-up
// of a key can wait for the network. If another policy is in force afterwards, all are made again.
func (v *verification) check(ctx context.Context) bool {
	for {
		v.refusal = nil
		p := v.verifier.policy.Load()
		passed := v.checkWith(ctx, p)
		if v.verifier.policy.Load() == p {
			return passed
		}
	}
}

// findIssuer finds the token's issuer in the policy.
func (v *verification) findIssuer(p *policy) error {
	issuer := p.issuers[v.token.claims.Issuer]
	if issuer == nil {
		return errors.New("not in the trust file")
	}
	v.issuer = issuer
	return nil
}

func (v *verification) findType() (err error) {
	v.session, err = checkType(v.token.header, v.issuer.entry)
	return err
}

// findKey finds the issuer's key that the token names.
func (v *verification) findKey(ctx context.Context) error {
	h := &v.token.header
	err := checkKeyID(h, v.issuer.entry, v.session)
	if err == nil {
		v.key, err = v.issuer.key(ctx, h.kid)
	}
	if err == nil {
		err = checkAlgorithm(h, v.issuer.entry, v.key.Algorithm())
	}
	return err
}

// checkSignature verifies the signature, unless the key has verified it before, for this call or
// another.
func (v *verification) checkSignature() error {
	switch v.provedBy {
	case v.key.Thumbprint():
		return nil
	case "":
		if err := v.key.Verify(v.token.signed(), v.token.signature); err != nil {
			return err //nolint:wrapcheck // the error is complete
		}
		v.provedBy = v.key.Thumbprint()
		return nil
	default:
		return errors.New("the key that verified this token was removed")
	}
}

// checkBody checks the body and sets the one that the handler reads.
func (v *verification) checkBody(ctx context.Context) bool {
	body := v.call.body
	switch bdy := v.token.claims.Body; {
	case !v.passes(CheckBody, checkBodyLength(&v.call, v.maxBody)):
		return false
	case bdy != "":
		data, err := readBody(body, v.maxBody, v.issuer.entry.Profile(), bdy)
		v.call.body, v.bodyRead = io.NopCloser(bytes.NewReader(data)), err == nil
		return v.passes(CheckBody, err)
	case v.session:
		if body != http.NoBody {
			v.call.body = v.held(ctx)
		}
		return true
	}
	v.call.body = http.NoBody
	if v.call.length >= 0 {
		return true // checkClaims refuses a length of more than 0
	}
	err := checkNoBody(body)
	v.bodyRead = err == nil
	if errors.Is(err, errUnsignedBody) {
		return v.passes(CheckClaims, err)
	}
	return v.passes(CheckBody, err)
}

// held returns the body of a session token's request. All checks of check are made again for each
// part of it.
func (v *verification) held(ctx context.Context) *heldBody {
	again := *v
	return &heldBody{body: http.MaxBytesReader(nil, v.call.body, v.maxBody), recheck: func() *Refusal {
		if !again.check(ctx) {
			again.report(ctx)
		}
		return again.refusal
	}}
}

// expected asks the Admission whether to verify the signature. An already verified signature needs
// no room.
func (v *verification) expected(ctx context.Context) error {
	admission := v.verifier.config.Admission
	if admission == nil || v.provedBy != "" || admission.Expect(ctx, v.caller()) {
		return nil
	}
	return errNoRoom
}

// admitted asks the Admission whether to admit the verified caller.
func (v *verification) admitted(ctx context.Context) error {
	admission := v.verifier.config.Admission
	if admission == nil || admission.Admit(ctx, v.caller()) {
		return nil
	}
	return errNoRoom
}

// worksOnce reports whether the token can be used only once.
func (v *verification) worksOnce() bool {
	c := &v.token.claims
	return c.Body != "" && c.ID != "" && v.verifier.config.Replay != nil
}

// burn records in the replay store that the token was used.
func (v *verification) burn(ctx context.Context) error {
	c, config := &v.token.claims, &v.verifier.config
	var until time.Time
	if c.ExpiresAt != 0 {
		until = time.Unix(c.ExpiresAt, 0).Add(Leeway)
	}
	ctx, cancel := context.WithTimeout(withClock(ctx, config.Now), replayTimeout)
	defer cancel()
	first, err := config.Replay.Burn(ctx, c.Issuer, c.ID, until)
	if err != nil {
		return fmt.Errorf("%w: %w", errReplayUnavailable, err)
	}
	if !first {
		return errors.New("the token was used before, or has expired by the clock of the replay store")
	}
	return nil
}

// decide makes all checks, of which err is the first, and counts the call. It logs and returns the
// refusal; nil if the call is let in.
func (v *verification) decide(ctx context.Context, err error) *Refusal {
	if v.passes(CheckHeader, err) && v.run(ctx) && !v.cached && v.token.claims.Body == "" {
		v.verifier.cache.add(v.sum, v.token, v.key)
	}
	counts := &v.verifier.counts.unknown
	if v.issuer != nil {
		counts = v.issuer.counts
	}
	if v.refusal == nil {
		counts.add("")
		return nil
	}
	counts.add(v.refusal.Check)
	v.report(ctx)
	return v.refusal
}

// report completes the refusal with what is known of the call, and logs it. A refusal by the
// Admission is not logged, as there can be thousands in a second.
func (v *verification) report(ctx context.Context) {
	r := v.refusal
	r.bodyRead = v.bodyRead
	if v.token != nil {
		r.Issuer, r.KeyID = v.token.claims.Issuer, v.token.header.kid
	}
	if r.Check != CheckAdmission {
		r.log(ctx, v.verifier.config.Logger, v.call.method, v.call.path, v.compact)
	}
}

// caller returns the token's issuer.
func (v *verification) caller() Caller {
	return Caller{
		Issuer: v.token.claims.Issuer, KeyID: v.token.header.kid,
		Session: v.session, Admin: !v.session && v.issuer.entry.Admin(),
	}
}

// identity returns the result of the checks.
func (v *verification) identity() Identity {
	c := &v.token.claims
	return Identity{Caller: v.caller(), Subject: Subject(c.Subject), Claims: c.ownClaims()}
}
