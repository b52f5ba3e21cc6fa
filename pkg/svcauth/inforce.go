package svcauth

import (
	"context"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// trustPollEvery is how often the trust file and its key files are looked at.
	trustPollEvery = 2 * time.Second
	// trustSettles is how long the files must have stayed as they are before they come into force.
	trustSettles = 100 * time.Millisecond
)

// A trust is a trust file in force.
type trust struct {
	digest  [32]byte
	issuers map[string]*issuer
}

// An issuer is a trust entry in force.
type issuer struct {
	*trustEntry
	source    keySource
	published *publishedKeys // the source, where keys are fetched
	validator *jwt.Validator
	counters  *counters
}

// watchTrust reads the trust file anew until the verifier is closed. Comparing contents rather than times catches every
// way to replace a file.
func (v *Verifier) watchTrust() {
	ticker := time.NewTicker(trustPollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-ticker.C:
			v.lookAtTrust()
		}
	}
}

// lookAtTrust puts the trust file in force when it has changed and is good.
func (v *Verifier) lookAtTrust() {
	file, err := loadTrust(v.trustFile)
	fault := v.trustFault.Load()
	switch {
	case err != nil && (fault == nil || err.Error() != *fault):
		text := err.Error()
		v.trustFault.Store(&text)
		v.log.Error("trust file is bad, the one before stays in force", "error", err)
	case err == nil && (fault != nil || file.digest != v.trust.Load().digest) && v.settled(file):
		v.trustFault.Store(nil)
		v.apply(file)
		v.log.Info("trust file is in force", "file", v.trustFile, "issuers", len(file.entries))
	}
}

// settled reports whether the files are, a moment later, as they were read: neither half written, nor the trust file from
// before a swap and its keys from after it. If not, the next look will tell.
func (v *Verifier) settled(file *trustFile) bool {
	select {
	case <-v.ctx.Done():
		return false
	case <-time.After(trustSettles):
	}
	again, err := loadTrust(v.trustFile)
	return err == nil && again.digest == file.digest
}

// apply puts a trust file in force. Key sets that go on being fetched from the same place are kept.
func (v *Verifier) apply(file *trustFile) {
	old := v.trust.Load()
	next := &trust{digest: file.digest, issuers: make(map[string]*issuer, len(file.entries))}
	for name, entry := range file.entries {
		i := &issuer{trustEntry: entry, validator: v.validator(entry), counters: v.countersOf(name), source: entry.keys}
		if entry.jwksURL != "" {
			i.published = v.published(old, entry)
			i.source = i.published
		}
		next.issuers[name] = i
	}
	v.put(old, next, file)
	for _, i := range next.issuers {
		if i.published != nil && i.published.stop == nil {
			var ctx context.Context
			ctx, i.published.stop = context.WithCancel(v.ctx)
			v.work.Go(func() { i.published.run(ctx) })
		}
	}
}

// put puts next in the place of old, at one moment for all keys, and ends the fetching of sets that
// are not in it.
func (v *Verifier) put(old, next *trust, file *trustFile) {
	v.owners.mu.Lock()
	defer v.owners.mu.Unlock()
	v.owners.pin(file)
	v.trust.Store(next)
	if old == nil {
		return
	}
	for name, i := range old.issuers {
		if i.published != nil && (next.issuers[name] == nil || next.issuers[name].published != i.published) {
			i.published.stop()
			v.owners.release(i.published)
		}
	}
}

// published returns the set that an issuer publishes, the one that is being fetched where the URL
// is the same.
func (v *Verifier) published(old *trust, entry *trustEntry) *publishedKeys {
	if old != nil {
		if i := old.issuers[entry.issuer]; i != nil && i.published != nil && i.jwksURL == entry.jwksURL {
			return i.published
		}
	}
	return newPublishedKeys(entry.issuer, entry.jwksURL, v.client, v.log, v.now, &v.owners)
}

// validator returns golang-jwt's checks of an issuer's claims, all that it has.
func (v *Verifier) validator(entry *trustEntry) *jwt.Validator {
	options := []jwt.ParserOption{
		jwt.WithIssuer(entry.issuer),
		jwt.WithAudience(v.audience),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(Leeway),
		jwt.WithTimeFunc(v.now),
	}
	if !entry.insecureNoExpiry {
		options = append(options, jwt.WithExpirationRequired())
	}
	return jwt.NewValidator(options...)
}
