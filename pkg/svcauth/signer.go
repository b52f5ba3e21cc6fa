package svcauth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// A SignerConfig is the configuration of a [Signer].
type SignerConfig struct {
	// Issuer is the calling service's own name, its base URL. Required.
	Issuer string
	// Key is the source of the service's keys: a [*keys.Private] or [*keys.Files]. Required.
	Key keys.Signing
	// Profile is the form of the tokens. The default is [trust.Bound].
	Profile trust.Profile
	// Lifetime is how long a token is valid, in whole seconds. The default is [DefaultLifetime],
	// the maximum [MaxLifetime].
	Lifetime time.Duration
	// Now is the clock. The default is [time.Now].
	Now func() time.Time
}

// A Signer signs a service's calls. It is safe for concurrent use.
type Signer struct {
	config SignerConfig
}

// NewSigner checks the config; a missing or impossible field is an error that names it.
func NewSigner(config SignerConfig) (*Signer, error) {
	if err := serviceurl.Check(config.Issuer); err != nil {
		return nil, fmt.Errorf("svcauth: issuer: %w", err)
	}
	if config.Key == nil || config.Key.SigningKey() == nil {
		return nil, errors.New("svcauth: no key to sign with")
	}
	if config.Profile == "" {
		config.Profile = trust.Bound
	}
	if config.Profile != trust.Bound && config.Profile != trust.Article {
		return nil, fmt.Errorf("svcauth: unknown profile %q", config.Profile)
	}
	if config.Lifetime == 0 {
		config.Lifetime = DefaultLifetime
	}
	if config.Lifetime < time.Second || config.Lifetime > MaxLifetime || config.Lifetime%time.Second != 0 {
		return nil, fmt.Errorf("svcauth: a lifetime of %v: must be whole seconds up to %v", config.Lifetime, MaxLifetime)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Signer{config: config}, nil
}

// Sign signs a request to the service named audience, on behalf of subject, with the claims of
// [WithClaims], and sets its JWT header. It reads the body and puts it back, so everything else
// about the request must be decided before. A request whose URL is not under audience is an error.
// The signing ends with the request's context.
func (s *Signer) Sign(r *http.Request, audience string, subject Subject) error {
	target := callURL(r.URL)
	if err := checkTarget(r.URL, target, audience); err != nil {
		return fmt.Errorf("svcauth: %w", err)
	}
	if subject == "" {
		return errNoSubject
	}
	body, err := rewindBody(r)
	if err != nil {
		return err
	}
	call := Call{
		Method: cmp.Or(r.Method, http.MethodGet), URL: target, Body: body,
		Subject: subject, Claims: claimsToSign(r.Context()),
	}
	compact, err := s.signCall(r.Context(), audience, &call)
	if err != nil {
		return err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set(Header, compact)
	return nil
}

// SignCall returns a token for a call to the service named audience that need not be an HTTP
// request. The method must be set, and the URL must be under audience, in the form in which
// net/http sends it.
func (s *Signer) SignCall(ctx context.Context, audience string, call Call) (string, error) {
	u, err := url.Parse(call.URL)
	if err == nil {
		err = checkTarget(u, call.URL, audience)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("svcauth: %w", err)
	case callURL(u) != call.URL:
		return "", fmt.Errorf("svcauth: the URL %s is not in the form in which it is sent", u.Redacted())
	case call.Method == "":
		return "", errors.New("svcauth: no method")
	case call.Subject == "":
		return "", errNoSubject
	}
	return s.signCall(ctx, audience, &call)
}

// SessionToken returns a token for one of the issuer's own users, with which the user can call the
// service named audience for [SessionLifetime], with the claims of [WithClaims]. A service accepts
// such tokens only from an issuer that its trust policy marks with sessions.
func (s *Signer) SessionToken(ctx context.Context, audience string, user Subject) (string, error) {
	if err := serviceurl.Check(audience); err != nil {
		return "", fmt.Errorf("svcauth: audience: %w", err)
	}
	rest, ok := strings.CutPrefix(string(user), s.config.Issuer)
	if !ok || !serviceurl.CleanPath("/"+rest) {
		return "", fmt.Errorf("svcauth: %q is no user of %s", user, s.config.Issuer)
	}
	c := s.claims(audience, user, SessionLifetime)
	if err := c.setOwn(claimsToSign(ctx)); err != nil {
		return "", fmt.Errorf("svcauth: %w", err)
	}
	return s.sign(ctx, typSession, c)
}

var errNoSubject = errors.New("svcauth: no subject to act for")

// checkTarget checks that a call to the URL u, which is text, is one to the service named audience.
func checkTarget(u *url.URL, text, audience string) error {
	if err := serviceurl.Check(audience); err != nil {
		return fmt.Errorf("audience: %w", err)
	}
	if u.User != nil || !strings.HasPrefix(text, audience) {
		return fmt.Errorf("the request goes to %s, not to %s", u.Redacted(), audience)
	}
	return nil
}

// signCall signs a call that was checked.
func (s *Signer) signCall(ctx context.Context, audience string, call *Call) (string, error) {
	c, typ := s.claims(audience, call.Subject, s.config.Lifetime), typArticle
	if s.config.Profile == trust.Bound {
		c.Method, c.URL, typ = call.Method, call.URL, typBound
	}
	if len(call.Body) > 0 || !safeMethod(call.Method) {
		c.Body = bodyHash(s.config.Profile, call.Body)
	}
	if err := c.setOwn(call.Claims); err != nil {
		return "", fmt.Errorf("svcauth: %w", err)
	}
	return s.sign(ctx, typ, c)
}

func (s *Signer) claims(audience string, subject Subject, lifetime time.Duration) *claims {
	now := s.config.Now().Unix()
	return &claims{
		Issuer: s.config.Issuer, Audience: audience, Subject: string(subject),
		IssuedAt: now, ExpiresAt: now + int64(lifetime.Seconds()), ID: newTokenID(),
	}
}

// sign returns the token with these claims.
func (s *Signer) sign(ctx context.Context, typ string, c *claims) (string, error) {
	payload, err := c.marshal()
	if err != nil {
		return "", fmt.Errorf("svcauth: encoding claims: %w", err)
	}
	key := s.config.Key.SigningKey()
	signed := encodeCompact(joseHeader{alg: string(key.Algorithm()), kid: key.ID(), typ: typ}, payload)
	signature, err := key.Sign(ctx, signed)
	if err != nil {
		return "", fmt.Errorf("svcauth: %w", err)
	}
	compact := signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	if len(compact) > maxTokenBytes {
		return "", fmt.Errorf("svcauth: the token would have %d bytes: receivers read at most %d", len(compact), maxTokenBytes)
	}
	return compact, nil
}

// newTokenID returns 128 random bits in base64url.
func newTokenID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, as of Go 1.24
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// rewindBody reads a request's body and puts it back, with its length known, so that it can be read
// again.
func rewindBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, fmt.Errorf("svcauth: reading body: %w", err)
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength = int64(len(body))
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	return body, nil
}
