package svcauth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// A SignerConfig says what a [Signer] needs to know.
type SignerConfig struct {
	// Issuer is the calling service's own name, its base URL. Required.
	Issuer string
	// Key is the service's private key, or its [keys.Files]. Required.
	Key keys.Signing
	// Profile is the form of the tokens; the default is [trust.Bound].
	Profile trust.Profile
	// Lifetime is how long a token is valid, in whole seconds; the default is [DefaultLifetime], the most [MaxLifetime].
	Lifetime time.Duration
	// Now is the clock; the default is [time.Now].
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

// Sign signs a request to the service named audience, on behalf of subject, and sets its JWT header. It reads the body
// and puts it back, so it must be called after everything else about the request is decided. The request's URL must lie
// under audience, or it is refused unsigned.
func (s *Signer) Sign(r *http.Request, audience string, subject Subject) error {
	if err := serviceurl.Check(audience); err != nil {
		return fmt.Errorf("svcauth: audience: %w", err)
	}
	url := r.URL.Scheme + "://" + r.URL.Host + r.URL.RequestURI()
	if r.URL.User != nil || !strings.HasPrefix(url, audience) {
		return fmt.Errorf("svcauth: the request goes to %s, not to %s", r.URL.Redacted(), audience)
	}
	if subject == "" {
		return errors.New("svcauth: no subject to act for")
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	c := s.claims(audience, subject, s.config.Lifetime)
	if s.config.Profile == trust.Bound {
		c.Method, c.URL = method, url
	}
	if len(body) > 0 || !safeMethod(method) {
		c.Body = bodyHash(s.config.Profile, body)
	}
	typ := typBound
	if s.config.Profile == trust.Article {
		typ = typArticle
	}
	compact, err := s.sign(typ, c)
	if err != nil {
		return err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set(Header, compact)
	return nil
}

// SessionToken returns a token for one of the issuer's own users, with which the user calls the service named audience
// for [SessionLifetime]. Only an issuer that the service's trust file marks "sessions: true" is believed.
func (s *Signer) SessionToken(audience string, user Subject) (string, error) {
	if err := serviceurl.Check(audience); err != nil {
		return "", fmt.Errorf("svcauth: audience: %w", err)
	}
	rest, ok := strings.CutPrefix(string(user), s.config.Issuer)
	if !ok || !serviceurl.CleanPath("/"+rest) {
		return "", fmt.Errorf("svcauth: %q is no user of %s", user, s.config.Issuer)
	}
	return s.sign(typSession, s.claims(audience, user, SessionLifetime))
}

func (s *Signer) claims(audience string, subject Subject, lifetime time.Duration) *claims {
	now := s.config.Now().Unix()
	return &claims{
		Issuer: s.config.Issuer, Audience: audience, Subject: string(subject),
		IssuedAt: now, ExpiresAt: now + int64(lifetime.Seconds()), ID: newTokenID(),
	}
}

func (s *Signer) sign(typ string, c *claims) (string, error) {
	key := s.config.Key.SigningKey()
	signed, err := (&jwt.Token{
		Header: map[string]any{"alg": string(key.Algorithm()), "kid": key.ID(), "typ": typ},
		Claims: c,
	}).SigningString()
	if err != nil {
		return "", fmt.Errorf("svcauth: signing: %w", err)
	}
	signature, err := key.Sign(context.Background(), signed)
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

// readBody reads a request's body and puts it back, rewindable, with its length known.
func readBody(r *http.Request) ([]byte, error) {
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
