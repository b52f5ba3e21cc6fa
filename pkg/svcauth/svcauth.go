// Package svcauth authenticates calls between services with small signed tokens, without a token
// server, a mesh or a shared secret. Every service has a key pair and is named by its base URL. It
// signs a JWT for each call, which says who calls whom, on whose behalf, and with which request.
// The receiver's trust file says whose tokens it accepts, and what each issuer may do.
//
// A caller makes a [Signer] from its key (package keys) and wraps its HTTP client's transport in
// [NewTransport], which signs each request. [ActFor] names the user of a call. A receiver makes a
// [Verifier] from its trust file (package trust) and a [ReplayStore]: [NewMemoryReplay] for one
// replica, pgreplay.New for several. It puts [Verifier.Require] before its handlers, which ask
// [CallerFrom] and [SubjectFrom] who calls, and for whom. [Signer.SignCall] and
// [Verifier.VerifyCall] are for calls that are not HTTP requests. The examples Transport and
// Service show a caller and a whole service.
package svcauth

import (
	"context"
	"encoding/json"
	"time"
)

// Each file of this package uses only files below it in this order: transport.go, signer.go for the
// caller; unverified.go for tools; middleware.go, verify.go, checks.go, verifier.go, cache.go
// for the receiver; token.go, claims.go, request.go, stats.go, refusal.go, admission.go, replay.go,
// svcauth.go for all.

// Header is the request header that carries the token.
const Header = "JWT"

// The times that signer and verifier agree on.
const (
	// DefaultLifetime is how long a service token is valid unless its signer says otherwise.
	DefaultLifetime = time.Minute
	// MaxLifetime is the longest lifetime of a service token that a verifier accepts. The
	// trust file can also allow article tokens without exp, which have no lifetime.
	MaxLifetime = 5 * time.Minute
	// SessionLifetime is how long a user's session token is valid, and the longest that a verifier
	// accepts.
	SessionLifetime = 15 * time.Minute
	// Leeway is how far the clocks of signer and verifier may differ.
	Leeway = 10 * time.Second
)

// A Caller is the service that signed a call, as its key proves.
type Caller struct {
	// Issuer is the service's base URL.
	Issuer string
	// KeyID names the key that signed the token. It is empty if an article token names none.
	KeyID string
	// Session says that the token is a user's own session token: no service calls, and Issuer
	// vouches for the user.
	Session bool
	// Admin says that the trust file lets this caller use the subject's administrative power.
	Admin bool
}

// A Subject is the URI of the user on whose behalf a call is made, or the caller's own name when it
// acts for itself. The caller claims it, and the trust file allows it. Whether the user exists is
// for the receiver to find out.
type Subject string

// Claims are further claims of a caller's own, such as a tenant, by name. Each value is JSON. There
// are at most [MaxClaims], of [MaxClaimsBytes] in total. No name may be one that svcauth reads
// (iss, aud, sub, iat, nbf, exp, jti, htm, htu, bdy), in whatever case.
type Claims map[string]json.RawMessage

// A Call is a call to be signed or verified that need not be an HTTP request.
type Call struct {
	// Method is what the call does, in capitals, such as "POST". With a replay store, the token of a
	// call can be used once, unless the method is GET, HEAD or OPTIONS and the body is empty.
	Method string
	// URL is the URL of what is called. It is under the called service's name.
	URL string
	// Body is what the call carries. It may be empty.
	Body []byte
	// Subject is the user on whose behalf the call is made. It is for signing only.
	Subject Subject
	// Claims are further claims. They are for signing only.
	Claims Claims
}

// An Identity says who makes a verified call, and for whom.
type Identity struct {
	Caller  Caller
	Subject Subject
	Claims  Claims // nil if there are none
}

type (
	identityKey struct{}
	actForKey   struct{}
	claimsKey   struct{}
)

// An identityContext carries an identity as a value, in one allocation.
type identityContext struct {
	context.Context //nolint:containedctx // it is one
	identity        Identity
}

// Value implements [context.Context].
func (c *identityContext) Value(key any) any {
	if key == (identityKey{}) {
		return &c.identity
	}
	return c.Context.Value(key)
}

// CallerFrom returns the caller of the request whose context ctx is. It returns false for a request
// that no [Verifier] has verified.
func CallerFrom(ctx context.Context) (Caller, bool) {
	if id, ok := ctx.Value(identityKey{}).(*Identity); ok {
		return id.Caller, true
	}
	return Caller{}, false
}

// SubjectFrom returns the subject of the request whose context ctx is. It returns false for a
// request that no [Verifier] has verified.
func SubjectFrom(ctx context.Context) (Subject, bool) {
	if id, ok := ctx.Value(identityKey{}).(*Identity); ok {
		return id.Subject, true
	}
	return "", false
}

// ClaimsFrom returns the caller's own claims of the request whose context ctx is; nil if there are
// none.
func ClaimsFrom(ctx context.Context) Claims {
	if id, ok := ctx.Value(identityKey{}).(*Identity); ok {
		return id.Claims
	}
	return nil
}

// ActFor returns a context whose requests a [Transport] signs on behalf of subject. A service that
// acts for itself passes its own name.
func ActFor(ctx context.Context, subject Subject) context.Context {
	return context.WithValue(ctx, actForKey{}, subject)
}

// WithClaims returns a context whose requests and session tokens carry claims.
func WithClaims(ctx context.Context, claims Claims) context.Context {
	return context.WithValue(ctx, claimsKey{}, claims)
}

// claimsToSign returns the claims of [WithClaims].
func claimsToSign(ctx context.Context) Claims {
	claims, _ := ctx.Value(claimsKey{}).(Claims)
	return claims
}
