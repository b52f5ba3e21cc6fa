package service

import (
	"context"
	"log/slog"
	"net/http"

	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/svcauth"
)

// middlewares returns the middlewares of routes that only verified calls may use, the outermost
// first. They keep the answers out of caches, limit the requests in flight by admission, verify
// each call and read its body of at most maxBody bytes, and log changes and refusals.
func middlewares(
	verifier *svcauth.Verifier, admission *httpserve.Admission, maxBody int64, log *slog.Logger,
) []func(http.Handler) http.Handler {
	return []func(http.Handler) http.Handler{
		httpserve.NoStore, admission.Limit, verifier.Require(maxBody), httpserve.Audit(log, identify),
	}
}

// identify implements [httpserve.Identify] for verified calls.
func identify(ctx context.Context) (caller, subject string) {
	c, _ := svcauth.CallerFrom(ctx)
	s, _ := svcauth.SubjectFrom(ctx)
	return c.Issuer, string(s)
}

// admission implements [svcauth.Admission]: each request is admitted by the [httpserve.Admission]
// that its route has.
type admission struct{}

// Expect implements [svcauth.Admission].
func (admission) Expect(ctx context.Context, claimed svcauth.Caller) bool {
	return httpserve.ExpectRoom(ctx, sharer(claimed))
}

// Admit implements [svcauth.Admission].
func (admission) Admit(ctx context.Context, verified svcauth.Caller) bool {
	return httpserve.Admit(ctx, sharer(verified))
}

// sharer returns the name under which a caller has its share of a limit. The users of an issuer's
// session tokens have a share apart from the issuer's own calls.
func sharer(c svcauth.Caller) string {
	if c.Session {
		return "sessions of " + c.Issuer
	}
	return c.Issuer
}
