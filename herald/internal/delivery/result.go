package delivery

import (
	"context"
	"errors"
	"log/slog"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/pkg/censusclient"
)

// acceptedCode is the only reply to a message that means acceptance (RFC 5321 section 4.3.2).
// go-mail accepts no other either.
const acceptedCode = 250

// internalDetail is the detail of an attempt that failed because of a fault in Herald.
const internalDetail = "an internal error in Herald"

// results maps errors to the results that the notification's creator sees.
var results = []struct {
	err    error
	result herald.Result
}{
	{nil, herald.Result{Outcome: herald.Accepted, SMTPCode: acceptedCode}},
	{censusclient.ErrForbidden, herald.Result{Outcome: herald.Refused, Detail: "Census does not let the creator see the user"}},
	{censusclient.ErrNotFound, herald.Result{Outcome: herald.Refused, Detail: "Census has no such user"}},
	{mail.ErrRecipient, herald.Result{Outcome: herald.Refused, Detail: mail.ErrRecipient.Error()}},
	{censusclient.ErrUnavailable, herald.Result{
		Outcome: herald.Deferred,
		Detail:  "Census is unavailable: the user could not be fetched",
	}},
}

// result returns the result of an attempt that ended with err. Causes that the creator must not see
// are only logged.
func (w *worker) result(ctx context.Context, n *herald.Notification, err error) herald.Result {
	if err != nil {
		w.Logger.InfoContext(ctx, "attempt failed", slog.Any("notification", n.ID), slog.Any("error", err))
	}
	if failure, ok := errors.AsType[*mail.Error](err); ok {
		return mailResult(failure)
	}
	for _, r := range results {
		if errors.Is(err, r.err) {
			return r.result
		}
	}
	return herald.Result{Outcome: herald.Deferred, Detail: internalDetail}
}

func mailResult(failure *mail.Error) herald.Result {
	result := herald.Result{Outcome: herald.Deferred, SMTPCode: failure.Code, Detail: failure.Detail}
	switch {
	case failure.Permanent:
		result.Outcome = herald.Refused
	case failure.InDoubt:
		result.Outcome = herald.Unknown
	}
	return result
}
