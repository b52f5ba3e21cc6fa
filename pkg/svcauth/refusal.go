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

// A Check is one step of verification, by the name that logs and metrics give it.
type Check string

// The checks, in the order in which they are made. The client is never told which one failed.
const (
	CheckHeader    Check = "header"    // exactly one JWT header, of at most 8 KiB
	CheckEncoding  Check = "encoding"  // a compact JWS in canonical base64url
	CheckJSON      Check = "json"      // strict JSON, only the header members and claim types we know
	CheckIssuer    Check = "issuer"    // the trust file names the issuer
	CheckType      Check = "type"      // the kind of token that the trust entry accepts
	CheckKey       Check = "key"       // a key of that issuer with that kid, pinned to that algorithm
	CheckSignature Check = "signature" // the signature
	CheckAudience  Check = "audience"  // the token is for this service
	CheckTime      Check = "time"      // iat, exp and nbf
	CheckClaims    Check = "claims"    // the claims that this kind of token must have
	CheckRequest   Check = "request"   // htm and htu are of this request
	CheckAllow     Check = "allow"     // the trust entry allows this method and path
	CheckSubject   Check = "subject"   // the trust entry allows this subject
	CheckBody      Check = "body"      // bdy is the hash of the body
	CheckReplay    Check = "replay"    // the token was not used before
)

// A Refusal is why a call was not let in. Its text is for the operator; the client gets the status and its class alone.
type Refusal struct {
	// Check is the check that the call did not pass.
	Check Check
	// Status is the HTTP status of the answer: 401, 403, 413, or 503 when a check could not be made.
	Status int
	// Issuer and KeyID are what the token says; nothing of it need be true. They are empty where it could not be read.
	Issuer, KeyID string

	err      error
	bodyRead bool // no more is to come of the request
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("refused by check %s: %v", r.Check, r.err) }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.err }

// refuse returns a refusal with the status that its check stands for.
func refuse(check Check, err error) *Refusal {
	status := http.StatusUnauthorized
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, keyset.ErrUnavailable), errors.Is(err, errReplayUnavailable):
		status = http.StatusServiceUnavailable
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case check == CheckAllow, check == CheckSubject:
		status = http.StatusForbidden
	}
	return &Refusal{Check: check, Status: status, err: err}
}

// A problem is the body of a refusal (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

var problems = map[int]problem{
	http.StatusUnauthorized: {
		Type: "urn:svcauth:problem:invalid-token", Title: "Unauthorized",
		Detail: "The request needs a valid token in its JWT header.",
	},
	http.StatusForbidden: {
		Type: "urn:svcauth:problem:not-allowed", Title: "Forbidden",
		Detail: "The token is valid, but its issuer may not make this call for this subject.",
	},
	http.StatusRequestEntityTooLarge: {
		Type: "urn:svcauth:problem:body-too-large", Title: "Content Too Large",
		Detail: "The request's body is larger than this resource accepts.",
	},
	http.StatusServiceUnavailable: {
		Type: "urn:svcauth:problem:unavailable", Title: "Service Unavailable",
		Detail: "The token could not be checked just now. Try again shortly.",
	},
}

// write answers a refused request.
func (r *Refusal) write(w http.ResponseWriter, realm string) {
	p := problems[r.Status]
	if r.Check == CheckAdmission {
		p = overloadProblem
	}
	p.Status = r.Status
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // four strings and a number
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
	_, _ = w.Write(body) // the client may be gone
}

// log tells the operator which check failed. Of the token itself, which is a credential, only a hash is written.
func (r *Refusal) log(ctx context.Context, log *slog.Logger, req *http.Request) {
	attrs := []any{
		"check", string(r.Check), "status", r.Status, "reason", r.err.Error(),
		"issuer", logsafe.Text(r.Issuer), "kid", logsafe.Text(r.KeyID),
		"method", logsafe.Text(req.Method), "path", loggedPath(receivedTarget(req).path),
	}
	if token := req.Header.Get(Header); token != "" {
		attrs = append(attrs, "token_sha256", TokenHash(token))
	}
	log.WarnContext(ctx, "call refused", attrs...)
}

// loggedPath returns a path as a log may have it, decoded where it can be.
func loggedPath(path string) string {
	if decoded, err := url.PathUnescape(path); err == nil {
		path = decoded
	}
	return logsafe.Text(path)
}

// TokenHash returns the name that logs give a token: the first 8 bytes of its SHA-256, in hexadecimal.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}
