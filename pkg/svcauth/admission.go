package svcauth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
)

// CheckAdmission names the refusal of a call that an [Admission] has no room for. It is not one of [Checks]: it says nothing
// about the token.
const CheckAdmission Check = "admission"

// An Admission refuses calls that a service has no room for. They are answered 503 with Retry-After, and their tokens can
// be used again. Its methods must be safe for concurrent use, and must not block.
type Admission interface {
	// Expect reports whether a call may go on to be verified. It is asked before a signature is verified, so that most of
	// what a flood brings costs none. The caller is what the token says, and nothing of it need be true: Expect decides by
	// what callers were admitted to, and counts nothing.
	Expect(ctx context.Context, claimed Caller) bool
	// Admit reports whether a call is admitted. It is asked with the verified caller when every check has passed but
	// that of the replay store, and the handler follows unless the token was used before.
	Admit(ctx context.Context, caller Caller) bool
}

// errNoRoom is the cause of a refusal by an Admission.
var errNoRoom = errors.New("the service has no room for the call")

// refuseAdmission is the refusal of every call that an Admission has no room for.
func refuseAdmission() *Refusal {
	return &Refusal{Check: CheckAdmission, Status: http.StatusServiceUnavailable, err: errNoRoom}
}

// expect asks whether the caller that the token names is likely to be admitted.
func (v *verification) expect(ctx context.Context) *Refusal {
	if v.admission == nil || v.admission.Expect(ctx, v.identities().caller) {
		return nil
	}
	return refuseAdmission()
}

// admit asks for admission of the verified caller.
func (v *verification) admit(ctx context.Context) *Refusal {
	if v.admission == nil || v.admission.Admit(ctx, v.identities().caller) {
		return nil
	}
	return refuseAdmission()
}

// overloadProblem is what a client is told whose call was not admitted.
var overloadProblem = problem{
	Type: "urn:svcauth:problem:overloaded", Title: "Service Unavailable",
	Detail: "The service has more calls than it can answer. Try again shortly.",
}

// refusedBy returns the counter of a check's refusals.
func (c *counters) refusedBy(check Check) *atomic.Uint64 {
	if i := slices.Index(checks[:], check); i >= 0 {
		return &c.refused[i]
	}
	return &c.notAdmitted
}
