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
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// A VerifierConfig is the configuration of a [Verifier].
type VerifierConfig struct {
	// Audience is this service's own name, its base URL, such as "https://census.service/". A token
	// must have exactly this aud. Required.
	Audience string
	// TrustFile is the YAML file that says whose calls are accepted, and which. It is read again,
	// with the key files that it names, within two seconds of a change, once the content has been
	// stable for 100 ms. A bad file leaves the policy before it in force. Required, unless Trust is
	// set.
	TrustFile string
	// Trust is the policy in force, in the place of TrustFile.
	Trust *trust.Policy
	// Replay records the tokens that were used. Required, unless InsecureAllowReplay is set.
	Replay ReplayStore
	// InsecureAllowReplay makes a verifier without state: a token that is meant to work once works
	// for the same request until it expires. It excludes Replay.
	InsecureAllowReplay bool
	// HTTPClient fetches key sets. Redirects are not followed, and a fetch ends after 10 s,
	// whatever the client allows. The default is a client with [http.DefaultTransport].
	HTTPClient *http.Client
	// Logger gets a line for each refused call and for each change of trust or of an issuer's keys.
	// The default is [slog.Default].
	Logger *slog.Logger
	// Admission refuses calls when the service has too many. The default admits all.
	Admission Admission
	// Now is the clock. The default is [time.Now].
	Now func() time.Time
}

// A Verifier lets in the calls that its trust policy allows. It is safe for concurrent use.
type Verifier struct {
	config  VerifierConfig
	origin  string                 // of the audience
	policy  atomic.Pointer[policy] // in force; each call uses one
	watcher *trust.Watcher         // nil without a trust file
	sets    *keyset.Sets
	cache   *tokenCache
	counts  callCounters
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// A policy is a trust policy in force. It never changes.
type policy struct{ issuers map[string]*issuer }

// An issuer is an issuer of the policy in force.
type issuer struct {
	entry  *trust.Entry
	set    *keyset.Set // nil if its keys are not fetched
	counts *counters
}

// NewVerifier reads the trust file and begins to fetch the key sets that it names. A missing field
// or a fault in the trust file is an error that names it. The verifier works in the background
// until [Verifier.Close].
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("svcauth: %w", err)
	}
	v := &Verifier{config: config, origin: serviceurl.Origin(config.Audience), cache: newTokenCache()}
	inForce := config.Trust
	if inForce == nil {
		var err error
		if v.watcher, err = trust.Watch(config.TrustFile, config.Logger); err != nil {
			return nil, fmt.Errorf("svcauth: %w", err)
		}
		inForce = v.watcher.Policy()
	}
	v.sets = keyset.NewSets(config.HTTPClient, config.Logger, config.Now)
	v.apply(inForce)
	var ctx context.Context
	ctx, v.stop = context.WithCancel(context.Background())
	if v.watcher != nil {
		v.work.Go(func() { v.watcher.Run(ctx, v.apply) })
	}
	return v, nil
}

// complete checks the config and sets the defaults.
func (c *VerifierConfig) complete() error {
	if err := serviceurl.Check(c.Audience); err != nil {
		return fmt.Errorf("audience: %w", err)
	}
	switch {
	case c.TrustFile == "" && c.Trust == nil:
		return errors.New("no trust file and no trust policy")
	case c.TrustFile != "" && c.Trust != nil:
		return errors.New("a trust file and a trust policy: one of the two")
	case c.Replay == nil && !c.InsecureAllowReplay:
		return errors.New("no replay store")
	case c.Replay != nil && c.InsecureAllowReplay:
		return errors.New("a replay store, and replay is allowed: one of the two")
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = slog.New(logsafe.NewHandler(c.Logger.Handler()))
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// apply puts a trust policy in force.
func (v *Verifier) apply(next *trust.Policy) {
	urls, pinned := map[string]string{}, map[string]string{}
	for _, e := range next.Entries() {
		if url := e.KeySetURL(); url != "" {
			urls[e.Issuer()] = url
		}
		for _, key := range e.Keys() {
			pinned[key.Thumbprint()] = e.Issuer()
		}
	}
	v.sets.Replace(urls, pinned, func(sets map[string]*keyset.Set) {
		p := &policy{issuers: map[string]*issuer{}}
		for _, e := range next.Entries() {
			p.issuers[e.Issuer()] = &issuer{e, sets[e.Issuer()], v.counts.of(e.Issuer())}
		}
		v.policy.Store(p)
	})
}

// key returns the issuer's key named kid. An empty kid stands for the issuer's one key.
func (i *issuer) key(ctx context.Context, kid string) (keys.Public, error) {
	if i.set != nil {
		return i.set.Lookup(ctx, kid) //nolint:wrapcheck // the error is complete
	}
	key, ok := i.entry.Keys().Find(kid)
	if !ok {
		return key, keyset.ErrUnknownKey
	}
	return key, nil
}

// Close ends the work in the background and waits for its end. Calls can still be verified, with
// the keys that are known.
func (v *Verifier) Close() {
	v.stop()
	v.work.Wait()
	v.sets.Close()
}

// Stats returns the verifier's counters and the state of its trust and key sets.
func (v *Verifier) Stats() Stats {
	s := Stats{Calls: v.counts.list()}
	for _, set := range v.sets.Stats() {
		s.KeySets = append(s.KeySets, KeySetStats(set))
	}
	if v.watcher != nil {
		s.TrustFault = v.watcher.Fault()
	}
	return s
}
