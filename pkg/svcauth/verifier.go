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

	"github.com/golang-jwt/jwt/v5"
)

// trustPollEvery is how often the trust file and its key files are looked at.
const trustPollEvery = 2 * time.Second

// A VerifierConfig says what a [Verifier] needs to know.
type VerifierConfig struct {
	// Audience is this service's own name, its base URL, such as "https://census.service/". A token must carry exactly
	// it in aud. Required.
	Audience string
	// TrustFile names the YAML file that says whose calls are accepted, and which. It is read again when it, or a key
	// file that it names, changes; while the new one is bad the old one stays in force. Replace it by renaming, or half
	// of it could be read. Required.
	TrustFile string
	// Replay remembers the tokens that were used. Required.
	Replay ReplayStore
	// HTTPClient fetches the key sets that the trust file says to discover. No redirect is followed. The default is
	// what [NewHTTPClient] makes of an empty config.
	HTTPClient *http.Client
	// Logger gets a line for each refused call and for each change of trust or of an issuer's keys. The default is
	// [slog.Default].
	Logger *slog.Logger
	// OnRefusal, where set, is called for each refused call, for example to count it. It must not block.
	OnRefusal func(context.Context, *Refusal)
	// Now is the clock; the default is [time.Now].
	Now func() time.Time
}

// A Verifier lets in the calls that its trust file allows. It is safe for concurrent use.
type Verifier struct {
	audience  string
	trustFile string
	replay    ReplayStore
	client    *http.Client
	log       *slog.Logger
	onRefusal func(context.Context, *Refusal)
	now       func() time.Time

	trust atomic.Pointer[trust] // what is in force; each call sees one, whole
	ctx   context.Context       //nolint:containedctx // ends at Close, and with it the work in the background
	stop  context.CancelFunc
	work  sync.WaitGroup
}

// A trust is a trust file in force.
type trust struct {
	digest  [32]byte
	issuers map[string]*issuer
}

// An issuer is a trust entry in force.
type issuer struct {
	*trustEntry
	source keySource
	parser *jwt.Parser
	stop   context.CancelFunc // ends the fetching of its keys; nil where there is none
}

// NewVerifier reads the trust file and starts to fetch the key sets it names. A missing field or a fault in the trust
// file is an error that names it. The verifier works in the background until [Verifier.Close].
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	if err := checkServiceName(config.Audience); err != nil {
		return nil, fmt.Errorf("svcauth: audience: %w", err)
	}
	if config.TrustFile == "" {
		return nil, errors.New("svcauth: no trust file")
	}
	if config.Replay == nil {
		return nil, errors.New("svcauth: no replay store")
	}
	v := &Verifier{
		audience: config.Audience, trustFile: config.TrustFile, replay: config.Replay,
		client: config.HTTPClient, log: config.Logger, onRefusal: config.OnRefusal, now: config.Now,
	}
	if err := v.setDefaults(); err != nil {
		return nil, err
	}
	file, err := loadTrust(v.trustFile)
	if err != nil {
		return nil, fmt.Errorf("svcauth: %w", err)
	}
	v.ctx, v.stop = context.WithCancel(context.Background())
	v.apply(file)
	v.work.Go(v.watchTrust)
	return v, nil
}

func (v *Verifier) setDefaults() (err error) {
	if v.client == nil {
		v.client, err = NewHTTPClient(HTTPClientConfig{})
	}
	if v.log == nil {
		v.log = slog.Default()
	}
	if v.onRefusal == nil {
		v.onRefusal = func(context.Context, *Refusal) {}
	}
	if v.now == nil {
		v.now = time.Now
	}
	return err
}

// Close ends the work in the background and waits for its end. Calls are still decided afterwards, with the keys that
// are known.
func (v *Verifier) Close() {
	v.stop()
	v.work.Wait()
}

// watchTrust reads the trust file anew until the verifier is closed. Comparing contents rather than times catches every
// way to replace a file.
func (v *Verifier) watchTrust() {
	ticker := time.NewTicker(trustPollEvery)
	defer ticker.Stop()
	fault := ""
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-ticker.C:
		}
		file, err := loadTrust(v.trustFile)
		switch {
		case err != nil && err.Error() != fault:
			fault = err.Error()
			v.log.Error("trust file is bad, the one before stays in force", "error", err)
		case err == nil && (fault != "" || file.digest != v.trust.Load().digest):
			fault = ""
			v.apply(file)
			v.log.Info("trust file is in force", "file", v.trustFile, "issuers", len(file.entries))
		}
	}
}

// apply puts a trust file in force. Key sets that go on being fetched from the same place are kept.
func (v *Verifier) apply(file *trustFile) {
	old := v.trust.Load()
	next := &trust{digest: file.digest, issuers: make(map[string]*issuer, len(file.entries))}
	for name, entry := range file.entries {
		i := &issuer{trustEntry: entry, parser: v.parser(entry), source: entry.keys}
		if entry.jwksURL != "" {
			i.source, i.stop = v.published(old, entry)
		}
		next.issuers[name] = i
	}
	v.trust.Store(next)
	if old == nil {
		return
	}
	for name, i := range old.issuers {
		if i.stop != nil && (next.issuers[name] == nil || next.issuers[name].source != i.source) {
			i.stop()
		}
	}
}

func (v *Verifier) published(old *trust, entry *trustEntry) (keySource, context.CancelFunc) {
	if old != nil {
		if i := old.issuers[entry.issuer]; i != nil && i.jwksURL == entry.jwksURL {
			return i.source, i.stop
		}
	}
	keys := newPublishedKeys(entry.issuer, entry.jwksURL, v.client, v.log, v.now)
	ctx, stop := context.WithCancel(v.ctx)
	v.work.Go(func() { keys.run(ctx) })
	return keys, stop
}

// parser returns golang-jwt's parser for an issuer, with every check it can make.
func (v *Verifier) parser(entry *trustEntry) *jwt.Parser {
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{string(EdDSA), string(ES256), string(RS256)}),
		jwt.WithStrictDecoding(),
		jwt.WithIssuer(entry.issuer),
		jwt.WithAudience(v.audience),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(Leeway),
		jwt.WithTimeFunc(v.now),
	}
	if !entry.insecureNoExpiry {
		options = append(options, jwt.WithExpirationRequired())
	}
	return jwt.NewParser(options...)
}

// Require returns a middleware for net/http, chi and their like. It lets a request in when every check passes, with
// [CallerFrom] and [SubjectFrom] set in its context, and answers all others itself: 401 for a token that is missing or
// invalid, 403 for a call or a subject that the trust file does not allow, 413 for a body of more than maxBody bytes, 503
// when the issuer's keys or the replay store cannot be reached; each with an RFC 9457 problem that says no more than
// that. The body of a request is read only after its token has proved good. A maxBody of 0 lets in empty bodies alone.
//
// Methods are compared byte for byte: one in lower case is a method that no trust file can allow. GET, HEAD and OPTIONS
// only read, and need no bdy. An issuer that may GET may HEAD; OPTIONS is allowed where the trust file names it.
func (v *Verifier) Require(maxBody int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			check := v.verification(r, maxBody)
			if refusal := check.run(); refusal != nil {
				refusal.log(r.Context(), v.log, r)
				v.onRefusal(r.Context(), refusal)
				if r.ProtoMajor == 1 && r.ContentLength != 0 && refusal.Check != CheckReplay {
					w.Header().Set("Connection", "close") // or net/http reads the body, to use the connection again
				}
				refusal.write(w, v.audience)
				return
			}
			next.ServeHTTP(w, check.req.WithContext(check.identities(r.Context())))
		})
	}
}

func (v *Verifier) verification(r *http.Request, maxBody int64) *verification {
	shallow := *r // the checks replace its Body
	return &verification{Verifier: v, issuers: v.trust.Load().issuers, req: &shallow, maxBody: maxBody}
}
