package svcauth

import (
	"context"
	"errors"
)

// An Admission refuses calls that a service has no room for. They are answered 503 with
// Retry-After, and their tokens can be used again. Its methods must be safe for concurrent use, and
// must not block.
type Admission interface {
	// Expect reports whether a call may go on to be verified. It is called before the signature is
	// verified, so that most calls of a flood cost no verification. The caller is what the token
	// claims, and may be false: Expect compares it with callers that were admitted, and counts
	// nothing.
	Expect(ctx context.Context, claimed Caller) bool
	// Admit reports whether a call is admitted. It is called with the verified caller when every
	// check but that of the replay store has passed. The handler runs next unless the token was
	// used before.
	Admit(ctx context.Context, caller Caller) bool
}

// errNoRoom is the cause of a refusal by an Admission.
var errNoRoom = errors.New("the service has no room for the call")
