package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
)

// The names of the compared libraries in the table.
const (
	golangJWT = "golang-jwt v5"
	goJOSE    = "go-jose v4"
	jwx       = "jwx v3"
	goOIDC    = "go-oidc v3"
	withJWKS  = "keyfunc v3 + golang-jwt v5"
)

// A peer is another library, configured to check signature, issuer, audience and times as far as it
// can. None of them can check that the token is for the request, so [request.check] does that with
// the claims that the library has parsed.
type peer struct {
	name   string
	verify func(token string) error
}

// A request has the claims that bind a token to its request.
type request struct {
	Method string `json:"htm"`
	URL    string `json:"htu"`
}

func (r request) check() error {
	if r != (request{http.MethodGet, userURL}) {
		return errors.New("a token for another request")
	}
	return nil
}

// peers returns all peers, configured for one key.
func peers(ctx context.Context, key ed25519.PublicKey, keyID string) ([]peer, error) {
	set, err := jwxVerifier(key, keyID)
	if err != nil {
		return nil, fmt.Errorf("setting up %s: %w", jwx, err)
	}
	store, err := keyfuncVerifier(ctx, key, keyID)
	if err != nil {
		return nil, fmt.Errorf("setting up %s: %w", withJWKS, err)
	}
	return []peer{
		{golangJWT, golangJWTVerifier(func(*jwt.Token) (any, error) { return key, nil })},
		{goJOSE, goJOSEVerifier(key)},
		{jwx, set},
		{goOIDC, goOIDCVerifier(ctx, key)},
		{withJWKS, store},
	}, nil
}

func golangJWTVerifier(keys jwt.Keyfunc) func(string) error {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithStrictDecoding(),
		jwt.WithIssuer(caller), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
	)
	return func(token string) error {
		var claims struct {
			jwt.RegisteredClaims
			request
		}
		if _, err := parser.ParseWithClaims(token, &claims, keys); err != nil {
			return err
		}
		return claims.check()
	}
}

func goJOSEVerifier(key ed25519.PublicKey) func(string) error {
	algorithms := []jose.SignatureAlgorithm{jose.EdDSA}
	expected := josejwt.Expected{Issuer: caller, AnyAudience: josejwt.Audience{audience}}
	return func(token string) error {
		parsed, err := josejwt.ParseSigned(token, algorithms)
		if err != nil {
			return err
		}
		var claims struct {
			josejwt.Claims
			request
		}
		if err := parsed.Claims(key, &claims); err != nil {
			return err
		}
		return errors.Join(claims.Validate(expected), claims.check())
	}
}

func jwxVerifier(key ed25519.PublicKey, keyID string) (func(string) error, error) {
	k, err := jwk.Import(key)
	if err != nil {
		return nil, err
	}
	if err := k.Set(jwk.KeyIDKey, keyID); err != nil {
		return nil, err
	}
	if err := k.Set(jwk.AlgorithmKey, jwa.EdDSA()); err != nil {
		return nil, err
	}
	set := jwk.NewSet()
	if err := set.AddKey(k); err != nil {
		return nil, err
	}
	options := []jwxjwt.ParseOption{jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(caller), jwxjwt.WithAudience(audience)}
	return func(token string) error {
		parsed, err := jwxjwt.ParseString(token, options...)
		if err != nil {
			return err
		}
		var r request
		if err := errors.Join(parsed.Get("htm", &r.Method), parsed.Get("htu", &r.URL)); err != nil {
			return err
		}
		return r.check()
	}, nil
}

func goOIDCVerifier(ctx context.Context, key ed25519.PublicKey) func(string) error {
	verifier := oidc.NewVerifier(caller, &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{key}}, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: []string{string(jose.EdDSA)},
	})
	return func(token string) error {
		parsed, err := verifier.Verify(ctx, token)
		if err != nil {
			return err
		}
		var r request
		if err := parsed.Claims(&r); err != nil {
			return err
		}
		return r.check()
	}
}

func keyfuncVerifier(ctx context.Context, key ed25519.PublicKey, keyID string) (func(string) error, error) {
	k, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{ALG: jwkset.AlgEdDSA, KID: keyID},
	})
	if err != nil {
		return nil, err
	}
	store := jwkset.NewMemoryStorage()
	if err := store.KeyWrite(ctx, k); err != nil {
		return nil, err
	}
	keys, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: store})
	if err != nil {
		return nil, err
	}
	return golangJWTVerifier(keys.Keyfunc), nil
}
