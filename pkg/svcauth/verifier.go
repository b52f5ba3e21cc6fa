package svcauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"example.com/micromachine/pkg/logsafe"
	"example.com/micromachine/pkg/svcauth/internal/keyset"
	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
	"example.com/micromachine/pkg/svcauth/trust"
)

// A VerifierConfig says what a [Verifier] needs to know.
type VerifierConfig struct {
	// Audience is this service's own name, its base URL, such as "https://census.service/". A token must carry exactly
	// it in aud. Required.
	Audience string
	// TrustFile names the YAML file that says whose calls are accepted, and which. It is looked at every two seconds, and
	// when it, or a key file that it names, has changed and come to rest, it is in force; while it is bad the one before
	// stays. Required.
	TrustFile string
	// Replay remembers the tokens that were used. Required, unless InsecureAllowReplay is set.
	Replay ReplayStore
	// InsecureAllowReplay makes a verifier that keeps no state: a token that was meant to work once works, for the same
	// request, as often as it is sent until it expires. Not together with Replay.
	InsecureAllowReplay bool
	// HTTPClient fetches the key sets that the trust file says to discover. Redirects are not followed, and a fetch ends
	// after 10 s, whatever the client allows. The default is a client with [http.DefaultTransport].
	HTTPClient *http.Client
	// Logger gets a line for each refused call and for each change of trust or of an issuer's keys. The default is
	// [slog.Default].
	Logger *slog.Logger
	// Observe, where set, is called before each call is checked, with the context of its request. The checks are made in
	// the context that it returns, for example one with a span, and its function is told what came of them. Neither may
	// block.
	Observe func(context.Context) (context.Context, func(Outcome))
	// Admission, where set, refuses calls when the service has more of them than it can bear.
	Admission Admission
	// Now is the clock; the default is [time.Now].
	Now func() time.Time
}

// An Outcome is what came of the checks of one call.
type Outcome struct {
	// Caller and Subject are whom the checks established, when the call was let in.
	Caller  Caller
	Subject Subject
	// Refusal is why the call was not let in; nil when it was.
	Refusal *Refusal
}

// A Verifier lets in the calls that its trust file allows. It is safe for concurrent use.
type Verifier struct {
	audience  string
	origin    string      // of audience
	replay    ReplayStore // nil with InsecureAllowReplay
	client    *http.Client
	log       *slog.Logger
	observe   func(context.Context) (context.Context, func(Outcome))
	admission Admission // may be nil
	now       func() time.Time

	inForce   atomic.Pointer[issuersInForce] // each call sees one, whole
	sets      *keyset.Sets
	watcher   *trust.Watcher
	seen      *seenTokens
	strangers counters // of issuers that the trust file does not name
	issuers   sync.Map // name to *counters, of all issuers that ever were in force
	stop      context.CancelFunc
	work      sync.WaitGroup
}

// NewVerifier reads the trust file and starts to fetch the key sets it names. A missing field or a fault in the trust
// file is an error that names it. The verifier works in the background until [Verifier.Close].
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	if err := serviceurl.Check(config.Audience); err != nil {
		return nil, fmt.Errorf("svcauth: audience: %w", err)
	}
	if config.TrustFile == "" {
		return nil, errors.New("svcauth: no trust file")
	}
	switch {
	case config.Replay == nil && !config.InsecureAllowReplay:
		return nil, errors.New("svcauth: no replay store")
	case config.Replay != nil && config.InsecureAllowReplay:
		return nil, errors.New("svcauth: a replay store, and replay is allowed: one of the two")
	}
	v := &Verifier{
		audience: config.Audience, origin: serviceurl.Origin(config.Audience), replay: config.Replay,
		client: config.HTTPClient, log: config.Logger, observe: config.Observe, now: config.Now, seen: newSeenTokens(),
		admission: config.Admission,
	}
	v.setDefaults()
	watcher, err := trust.Watch(config.TrustFile, v.log)
	if err != nil {
		return nil, fmt.Errorf("svcauth: %w", err)
	}
	v.watcher, v.sets = watcher, keyset.NewSets(v.client, v.log, v.now)
	v.apply(watcher.Policy())
	var ctx context.Context
	ctx, v.stop = context.WithCancel(context.Background())
	v.work.Go(func() { watcher.Run(ctx, v.apply) })
	return v, nil
}

func (v *Verifier) setDefaults() {
	if v.client == nil {
		v.client = &http.Client{}
	}
	if v.log == nil {
		v.log = slog.Default()
	}
	v.log = slog.New(logsafe.NewHandler(v.log.Handler()))
	if v.now == nil {
		v.now = time.Now
	}
}

// Close ends the work in the background and waits for its end. Calls are still decided afterwards, with the keys that
// are known.
func (v *Verifier) Close() {
	v.stop()
	v.work.Wait()
	v.sets.Close()
}

// Verify checks a request, as [Verifier.Require] does, for those who answer refusals in their own way. It returns the
// request to go on with: [CallerFrom] and [SubjectFrom] are set in its context, and its body can still be read. The error
// is always a [*Refusal], and it has been logged.
//
// The body of a request is read only after its token has proved good. When it has been read, time
// and trust are checked again, as reading can take any time: against the clock, the trust file and
// the keys of that moment. They are checked once more when the replay store has answered. One of
// more than maxBody bytes is refused.
//
// The body of a session token's request, of which the token says nothing, is left to the handler.
// Reading it fails with an [http.MaxBytesError] after maxBody bytes, and with a [*Refusal] when the
// token has expired, or is no longer accepted, before the body has arrived.
//
// Method and URL are those that were received, [http.Request.Method] and [http.Request.RequestURI],
// whatever routers have made of [http.Request.URL]. A request without RequestURI, which was not
// read from a connection, has its URL alone.
func (v *Verifier) Verify(r *http.Request, maxBody int64) (*http.Request, error) {
	ctx := r.Context()
	var done func(Outcome)
	if v.observe != nil {
		ctx, done = v.observe(ctx)
	}
	check := verification{Verifier: v, req: r, target: receivedTarget(r), maxBody: maxBody}
	refusal := check.run(ctx)
	check.count(refusal)
	if refusal != nil {
		if refusal.Check != CheckAdmission { // which may come by the thousand in a second
			refusal.log(ctx, v.log, r)
		}
		if done != nil {
			done(Outcome{Refusal: refusal})
		}
		return nil, refusal
	}
	who := check.identities()
	if done != nil {
		done(Outcome{Caller: who.caller, Subject: who.subject})
	}
	passed := r.WithContext(&identityContext{r.Context(), who})
	passed.Body = check.body
	return passed, nil
}

// Require returns a middleware for net/http, chi and their like. It lets a request in when every check passes, with
// [CallerFrom] and [SubjectFrom] set in its context, and answers all others itself: 401 for a token that is missing or
// invalid, 403 for a call or a subject that the trust file does not allow, 413 for a body of more than maxBody bytes, 503
// when the issuer's keys or the replay store cannot be reached; each with an RFC 9457 problem that says no more than
// that. The body of a request is read only after its token has proved good, and no more of it than maxBody bytes, as
// [Verifier.Verify] says; a maxBody of 0 is for requests without a body.
//
// Paths, of htu and in the trust file, are compared with the request target as it was received, so
// that Require may stand behind [http.StripPrefix] and routers that rewrite URLs. The handler sees
// the URL as they left it.
//
// Methods are compared byte for byte: one in lower case is a method that no trust file can allow.
// Of a method that a middleware in front has overridden nothing is left to compare with: token and
// trust file must then allow the method that the handler sees. A middleware that overrides methods
// does not belong behind Require. GET, HEAD and OPTIONS only read, and need no bdy as long as they
// have no body; a body of no bytes, chunked or in an empty DATA frame of HTTP/2, is none. An issuer
// that may GET may HEAD; OPTIONS is allowed where the trust file names it.
func (v *Verifier) Require(maxBody int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			passed, err := v.Verify(r, maxBody)
			if refusal, ok := errors.AsType[*Refusal](err); ok {
				if r.ProtoMajor == 1 && refusal.leavesBody(r, maxBody) {
					leaveBody(w)
				}
				refusal.write(w, v.audience)
				return
			}
			next.ServeHTTP(w, passed)
		})
	}
}
