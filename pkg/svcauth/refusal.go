package svcauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"example.com/micromachine/pkg/logsafe"
	"example.com/micromachine/pkg/svcauth/internal/keyset"
)

// A Check is one step of verification, by its name in logs and metrics.
type Check string

// The checks, in their order. A client is never told which one failed.
const (
	CheckHeader    Check = "header"    // exactly one JWT header, of at most 8 KiB
	CheckEncoding  Check = "encoding"  // a compact JWS in canonical base64url
	CheckJSON      Check = "json"      // strict JSON, with known header members and claim types only
	CheckIssuer    Check = "issuer"    // the trust policy names the issuer
	CheckType      Check = "type"      // the kind of token that the trust entry accepts
	CheckKey       Check = "key"       // a key of that issuer with that kid and that algorithm
	CheckSignature Check = "signature" // the signature
	CheckAudience  Check = "audience"  // the token is for this service
	CheckTime      Check = "time"      // iat, exp and nbf
	CheckClaims    Check = "claims"    // the claims that this kind of token must have
	CheckRequest   Check = "request"   // htm and htu are of this request
	CheckAllow     Check = "allow"     // the trust entry allows this method and path
	CheckSubject   Check = "subject"   // the trust entry allows this subject
	CheckBody      Check = "body"      // bdy is the hash of the body
	CheckReplay    Check = "replay"    // the token was not used before
	// CheckAdmission is the refusal of a call by an [Admission]. It says nothing about the token,
	// and is not one of [Checks].
	CheckAdmission Check = "admission"
)

// checks are all checks in their order, each with the answer to a call that does not pass it. The
// answer to some causes is another: see answerFor.
var checks = [...]struct {
	check  Check
	answer *problem
}{
	{CheckHeader, &invalidToken},
	{CheckEncoding, &invalidToken},
	{CheckJSON, &invalidToken},
	{CheckIssuer, &invalidToken},
	{CheckType, &invalidToken},
	{CheckKey, &invalidToken},
	{CheckSignature, &invalidToken},
	{CheckAudience, &invalidToken},
	{CheckTime, &invalidToken},
	{CheckClaims, &invalidToken},
	{CheckRequest, &invalidToken},
	{CheckAllow, &notAllowed},
	{CheckSubject, &notAllowed},
	{CheckBody, &invalidToken},
	{CheckReplay, &invalidToken},
}

// Checks returns all checks, in their order.
func Checks() []Check {
	list := make([]Check, 0, len(checks))
	for _, c := range checks {
		list = append(list, c.check)
	}
	return list
}

// A problem is the body of a refusal (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

var (
	invalidToken = problem{
		"urn:svcauth:problem:invalid-token", "Unauthorized", http.StatusUnauthorized,
		"The request needs a valid token in its JWT header.",
	}
	notAllowed = problem{
		"urn:svcauth:problem:not-allowed", "Forbidden", http.StatusForbidden,
		"The token is valid, but its issuer may not make this call for this subject.",
	}
	bodyTooLarge = problem{
		"urn:svcauth:problem:body-too-large", "Content Too Large", http.StatusRequestEntityTooLarge,
		"The request's body is larger than this resource accepts.",
	}
	unavailable = problem{
		"urn:svcauth:problem:unavailable", "Service Unavailable", http.StatusServiceUnavailable,
		"The token could not be checked just now. Try again shortly.",
	}
	overloaded = problem{
		"urn:svcauth:problem:overloaded", "Service Unavailable", http.StatusServiceUnavailable,
		"The service has more calls than it can answer. Try again shortly.",
	}
)

// answerFor returns the answer to a call that did not pass a check, for that cause.
func answerFor(check Check, cause error) *problem {
	if errors.Is(cause, keyset.ErrUnavailable) || errors.Is(cause, errReplayUnavailable) {
		return &unavailable
	}
	if errors.Is(cause, errNoRoom) {
		return &overloaded
	}
	if _, ok := errors.AsType[*http.MaxBytesError](cause); ok {
		return &bodyTooLarge
	}
	for _, c := range checks {
		if c.check == check {
			return c.answer
		}
	}
	return &invalidToken
}

// A Refusal is the error of a call that is not let in. Its text is for the operator. The client
// gets the status and its class only.
type Refusal struct {
	// Check is the check that the call did not pass.
	Check Check
	// Status is the HTTP status of the answer: 401, 403, 413, or 503 if a check could not be made.
	Status int
	// Issuer and KeyID are what the token claims, and may be false. They are empty if it could not
	// be read.
	Issuer, KeyID string

	cause    error
	answer   *problem
	bodyRead bool // nothing of the request is left to read
}

func refuse(check Check, cause error) *Refusal {
	answer := answerFor(check, cause)
	return &Refusal{Check: check, Status: answer.Status, cause: cause, answer: answer}
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("refused by check %s: %v", r.Check, r.cause) }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.cause }

// write answers a refused request.
func (r *Refusal) write(w http.ResponseWriter, realm string) {
	body, err := json.Marshal(r.answer)
	if err != nil {
		panic(err) // strings and a number can always be encoded
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	switch r.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", fmt.Sprintf(`JWT realm=%q, error="invalid_token"`, realm))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(body) // an error means that the client is gone
}

// log writes the refusal of a call to the log. Of the token, which is a credential, it writes a
// hash.
func (r *Refusal) log(ctx context.Context, log *slog.Logger, method, path, compact string) {
	attrs := []any{
		"check", string(r.Check), "status", r.Status, "reason", r.cause.Error(),
		"issuer", logsafe.Text(r.Issuer), "kid", logsafe.Text(r.KeyID),
		"method", logsafe.Text(method), "path", loggedPath(path),
	}
	if compact != "" {
		attrs = append(attrs, "token_sha256", TokenHash(compact))
	}
	log.WarnContext(ctx, "call refused", attrs...)
}

// loggedPath returns a path for the log, decoded if it can be.
func loggedPath(path string) string {
	if decoded, err := url.PathUnescape(path); err == nil {
		path = decoded
	}
	return logsafe.Text(path)
}

// TokenHash returns the name of a token in logs: the first 8 bytes of its SHA-256, in hexadecimal.
func TokenHash(compact string) string {
	sum := sha256.Sum256([]byte(compact))
	return hex.EncodeToString(sum[:8])
}
