package plain

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// header is the HTTP header of the token.
const header = "JWT"

const lifetime = time.Minute

// claims are the claims of a call.
type claims struct {
	jwt.RegisteredClaims
	Body string `json:"bdy,omitempty"` // the SHA-256 hash of the body, if any
}

// Sign returns a token for one call. body is nil if the request has none.
func Sign(key ed25519.PrivateKey, issuer, audience, subject string, body []byte) (string, error) {
	now := time.Now()
	c := claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: subject, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
	}}
	if body != nil {
		c.Body = hash(body)
	}
	return jwt.NewWithClaims(jwt.SigningMethodEdDSA, c).SignedString(key)
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// A verifier checks the tokens of one issuer.
type verifier struct {
	key    ed25519.PublicKey
	parser *jwt.Parser
}

func newVerifier(key ed25519.PublicKey, issuer, audience string) *verifier {
	return &verifier{key: key, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(10*time.Second),
	)}
}

// check returns the subject of a valid token. It does not compare a nil body.
func (v *verifier) check(token string, body []byte) (subject string, err error) {
	var c claims
	if _, err := v.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return v.key, nil }); err != nil {
		return "", fmt.Errorf("checking token: %w", err)
	}
	if body != nil && c.Body != hash(body) {
		return "", errors.New("the token is for another body")
	}
	return c.Subject, nil
}
