package svcauth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The times of a rotation that is safe with the verifiers of this package and with any cache that honours the
// Cache-Control of [JWKSHandler].
const (
	// DefaultPublishAhead is how long a new key is published before it signs: longer than any verifier keeps a key set
	// without looking again.
	DefaultPublishAhead = 20 * time.Minute
	// DefaultKeepRetired is how long a key stays published after the next one signs: longer than any token lives.
	DefaultKeepRetired = 20 * time.Minute
)

// A RotateConfig says how [Rotate] rotates. The zero value is usable.
type RotateConfig struct {
	// Algorithm is what a new key is for; the default is the newest key's, [EdDSA] where there is none.
	Algorithm Algorithm
	// PublishAhead is how long a new key is published before it signs; the default is [DefaultPublishAhead].
	PublishAhead time.Duration
	// KeepRetired is how long a key stays published after the next one signs; the default is [DefaultKeepRetired].
	KeepRetired time.Duration
	// MinAge keeps a key that has signed for less than this from being replaced, for a command that runs more often than
	// keys are to change. Zero: every key may be replaced.
	MinAge time.Duration
}

// A Rotation is what [Rotate] did, and how it left the directory.
type Rotation struct {
	// Signing is the kid of the key that signs now.
	Signing string
	// Next is the kid of the key that signs next, from NextFrom on; empty where there is none.
	Next     string
	NextFrom time.Time
	// Added says that the next key, or in an empty directory the one that signs, was made just now.
	Added bool
	// Retiring are the kids of older keys that are published still, Removed those of keys whose files were deleted.
	Retiring, Removed []string
}

// Rotate takes a service's key directory one step further, and makes it where it is missing. It deletes the keys whose
// time is over, and adds a new one, which is published at once and signs later, unless the next key is there already. In an
// empty directory the new key signs at once.
//
// It may be run at any time, several times at once, and again after it was killed: what it leaves is a good directory
// after every step. All replicas of the service work on the same directory, or on copies that follow it within half of
// PublishAhead: the other half is for those who have just fetched the keys from the last copy to follow. Errors name the file or the field at fault.
func Rotate(dir string, config RotateConfig) (*Rotation, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("svcauth: rotating keys: %w", err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("svcauth: rotating keys: locking %s: %w", dir, err)
	}
	defer unlock()
	keys, err := readKeyDir(dir)
	if err != nil {
		return nil, fmt.Errorf("svcauth: %w", err)
	}
	r := &rotation{config: config, dir: dir, now: time.Now(), keys: keys}
	if err := errors.Join(r.sweep(), r.retire(), r.extend()); err != nil {
		return nil, fmt.Errorf("svcauth: rotating keys: %w", err)
	}
	return r.report(), nil
}

func (c *RotateConfig) complete() error {
	if c.PublishAhead == 0 {
		c.PublishAhead = DefaultPublishAhead
	}
	if c.KeepRetired == 0 {
		c.KeepRetired = DefaultKeepRetired
	}
	switch {
	case c.Algorithm != "" && !c.Algorithm.valid():
		return fmt.Errorf("svcauth: unknown algorithm %q: must be %s, %s or %s", c.Algorithm, EdDSA, ES256, RS256)
	case c.PublishAhead < 0 || c.KeepRetired < 0 || c.MinAge < 0:
		return errors.New("svcauth: a rotation with a time under zero")
	}
	return nil
}

// A rotation is one run of Rotate on a directory that is locked.
type rotation struct {
	config  RotateConfig
	dir     string
	now     time.Time
	keys    *datedKeys
	added   bool
	removed []string
}

// newKeyFile is how a file is named that is not a key yet.
const newKeyFile = ".new-"

// sweep deletes what runs that were killed have left.
func (r *rotation) sweep() error {
	left, err := filepath.Glob(filepath.Join(r.dir, newKeyFile+"*"))
	for _, file := range left {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// retire deletes the keys whose successor has signed for long enough.
func (r *rotation) retire() error {
	for len(r.keys.list) > 1 && !r.keys.list[1].from.Add(r.config.KeepRetired).After(r.now) {
		if err := os.Remove(r.keys.list[0].file); err != nil {
			return err
		}
		r.removed = append(r.removed, r.keys.list[0].key.ID())
		r.keys.list = r.keys.list[1:]
	}
	return nil
}

// extend adds the next key, unless it is there or the newest one is too young to be replaced.
func (r *rotation) extend() error {
	from, alg := r.now, EdDSA
	if n := len(r.keys.list); n > 0 {
		newest := r.keys.list[n-1]
		if newest.from.After(r.now.Add(-r.config.MinAge)) {
			return nil
		}
		from, alg = r.now.Add(r.config.PublishAhead), newest.key.Algorithm()
		if least := newest.from.Add(time.Second); from.Before(least) {
			from = least // a file's name has whole seconds
		}
	}
	if r.config.Algorithm != "" {
		alg = r.config.Algorithm
	}
	key, err := GenerateKey(alg)
	if err != nil {
		return err
	}
	from = from.UTC().Truncate(time.Second)
	file := filepath.Join(r.dir, from.Format(keyFileTime))
	part := filepath.Join(r.dir, newKeyFile+key.ID())
	if err := key.Save(part); err != nil {
		return err
	}
	if err := os.Rename(part, file); err != nil {
		return err
	}
	r.added = true
	r.keys.list = append(r.keys.list, datedKey{key, from, file})
	return syncDir(r.dir)
}

// report says how the directory is now.
func (r *rotation) report() *Rotation {
	signing := r.keys.signing(r.now)
	report := &Rotation{Signing: signing.key.ID(), Added: r.added, Removed: r.removed}
	for _, k := range r.keys.list {
		switch {
		case k.from.Before(signing.from):
			report.Retiring = append(report.Retiring, k.key.ID())
		case k.from.After(signing.from) && report.Next == "":
			report.Next, report.NextFrom = k.key.ID(), k.from
		}
	}
	return report
}

// syncDir makes the names in a directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
