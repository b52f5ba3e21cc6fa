// Package svcauth authenticates calls between services with small signed tokens, and nothing else: no token server, no
// mesh, no shared secret.
//
// Every service has a key pair and is named by its base URL. For each call it signs a JWT that says who calls, whom, on
// whose behalf, and which request it is for; the receiver looks up in its trust file whose tokens it accepts and what each
// issuer may do.
//
// The caller wraps its HTTP client:
//
//	own, err := keys.Watch("/etc/herald/keys", nil) // a directory that "svcauth rotate" maintains
//	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://herald.service/", Key: own})
//	transport, err := svcauth.NewTransport(svcauth.TransportConfig{Signer: signer, Audience: "https://census.service/"})
//	client := &http.Client{Transport: transport}
//	req, err := http.NewRequestWithContext(svcauth.ActFor(ctx, user), "GET", "https://census.service/user/42/", nil)
//	res, err := client.Do(req)
//
// The receiver puts a middleware before its handlers:
//
//	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
//		Audience:  "https://census.service/",
//		TrustFile: "trust.yaml",
//		Replay:    svcauth.NewMemoryReplay(),
//	})
//	defer verifier.Close()
//	mux.Handle("/user/", verifier.Require(64<<10)(handler))
//
// and its handlers ask [CallerFrom] and [SubjectFrom] who calls, and for whom. A token travels in the request header "JWT".
package svcauth

import (
	"context"
	"time"
)

// Header is the request header that carries the token.
const Header = "JWT"

// The times that signer and verifier agree on.
const (
	// DefaultLifetime is how long a service token is valid unless its signer says otherwise.
	DefaultLifetime = time.Minute
	// MaxLifetime is the longest lifetime of a service token that a verifier accepts.
	MaxLifetime = 5 * time.Minute
	// SessionLifetime is how long a user's session token is valid, and the longest that a verifier accepts.
	SessionLifetime = 15 * time.Minute
	// Leeway is how far the clocks of signer and verifier may differ.
	Leeway = 10 * time.Second
)

// A Caller is the service that signed a call, as its key proves.
type Caller struct {
	// Issuer is the service's base URL.
	Issuer string
	// KeyID names the key that signed the token; empty where an article token names none.
	KeyID string
	// Session says that the token is a user's own session token: no service is acting, and Issuer vouches for the user.
	Session bool
	// Admin says that the trust file lets this caller use the subject's administrative power.
	Admin bool
}

// A Subject is the URI of the user on whose behalf a call is made, or the caller's own name when it acts for itself.
// It is what the caller claims and the trust file allows; whether there is such a user is for the receiver to find out.
type Subject string

type identities struct {
	caller  Caller
	subject Subject
}

type (
	identitiesKey struct{}
	actForKey     struct{}
)

// An identityContext carries identities as a value, in one allocation.
type identityContext struct {
	context.Context //nolint:containedctx // it is one
	identities
}

// Value implements [context.Context].
func (c *identityContext) Value(key any) any {
	if key == (identitiesKey{}) {
		return &c.identities
	}
	return c.Context.Value(key)
}

func identitiesFrom(ctx context.Context) (identities, bool) {
	ids, ok := ctx.Value(identitiesKey{}).(*identities)
	if !ok {
		return identities{}, false
	}
	return *ids, true
}

// CallerFrom returns the caller of the request whose context ctx is; false when [Verifier.Require] did not let it in.
func CallerFrom(ctx context.Context) (Caller, bool) {
	ids, ok := identitiesFrom(ctx)
	return ids.caller, ok
}

// SubjectFrom returns the subject of the request whose context ctx is; false when [Verifier.Require] did not let it in.
func SubjectFrom(ctx context.Context) (Subject, bool) {
	ids, ok := identitiesFrom(ctx)
	return ids.subject, ok
}

// ActFor returns a context whose requests a [Transport] signs on behalf of subject. A service that acts for itself
// passes its own name: a transport never picks a subject by itself.
func ActFor(ctx context.Context, subject Subject) context.Context {
	return context.WithValue(ctx, actForKey{}, subject)
}
