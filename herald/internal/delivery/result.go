package delivery

import (
	"context"
	"errors"
	"log/slog"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/mail"
)

// acceptedCode is the one reply to a message by which a mail server takes it (RFC
// 5321 section 4.3.2), and the one that go-mail takes for that.
const acceptedCode = 250

// brokenDetail is what an attempt says that failed by Herald's own fault.
const brokenDetail = "Herald could not do its part"

// results are what errors stand for, in words for the notification's creator.
var results = []struct {
	err    error
	result herald.Result
}{
	{nil, herald.Result{Outcome: herald.Accepted, SMTPCode: acceptedCode}},
	{herald.ErrForbidden, herald.Result{Outcome: herald.Refused, Detail: "Census does not let the creator see the user"}},
	{herald.ErrUserNotFound, herald.Result{Outcome: herald.Refused, Detail: "Census knows no such user"}},
	{mail.ErrRecipient, herald.Result{Outcome: herald.Refused, Detail: mail.ErrRecipient.Error()}},
	{herald.ErrCensusUnavailable, herald.Result{Outcome: herald.Deferred, Detail: "Census could not be asked for the user"}},
}

// result says what came of an attempt. Causes that are Herald's own business are
// logged here, and nowhere told.
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
	return herald.Result{Outcome: herald.Deferred, Detail: brokenDetail}
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
