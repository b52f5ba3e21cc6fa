package keys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The times of a rotation that is safe with svcauth's verifiers and with any cache that follows the
// Cache-Control of [Handler].
const (
	// DefaultPublishAhead is how long a new key is published before it signs: longer than a
	// verifier keeps a key set before it fetches it again.
	DefaultPublishAhead = 20 * time.Minute
	// DefaultKeepRetired is how long a key stays published after the next one signs: longer than
	// any token is valid.
	DefaultKeepRetired = 20 * time.Minute
)

// A RotateConfig says how [Rotate] rotates. The zero value is usable.
type RotateConfig struct {
	// Algorithm is that of a new key. The default is the newest key's, or [EdDSA] if there is none.
	Algorithm Algorithm
	// PublishAhead is how long a new key is published before it signs. The default is
	// [DefaultPublishAhead].
	PublishAhead time.Duration
	// KeepRetired is how long a key stays published after the next one signs. The default is
	// [DefaultKeepRetired].
	KeepRetired time.Duration
	// MinAge is how long a key signs at least before it is replaced, so that Rotate can run more
	// often than keys change. Zero allows to replace every key.
	MinAge time.Duration
}

// A Rotation is what [Rotate] did, and the state of the directory after it.
type Rotation struct {
	// Signing is the kid of the key that signs now.
	Signing string
	// Next is the kid of the key that signs next, from NextFrom on; empty if there is none.
	Next     string
	NextFrom time.Time
	// Added says that Rotate made a key: the next one, or in an empty directory the one that signs.
	Added bool
	// Retiring are the kids of older keys that are still published. Removed are the kids of the
	// keys whose files Rotate deleted.
	Retiring, Removed []string
}

// Rotate does one step of key rotation in a service's key directory, which it creates if it is
// missing. It deletes the keys whose retirement is over. If there is no next key, it makes one,
// which is published at once and signs later. In an empty directory the new key signs at once.
//
// Rotate can run at any time, several times at once, and again after it was killed: the directory
// is valid after every step. All replicas of the service use the same directory, or copies that are
// updated within half of PublishAhead. The other half is the time that receivers have to fetch the
// keys from the last copy. Errors name the file or the field at fault.
func Rotate(dir string, config RotateConfig) (*Rotation, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("rotating keys: %w", err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("rotating keys: locking %s: %w", dir, err)
	}
	defer unlock()
	keys, err := readKeyDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	r := &rotation{config: config, dir: dir, now: time.Now(), keys: keys}
	if err := errors.Join(r.sweep(), r.retire(), r.extend()); err != nil {
		return nil, fmt.Errorf("rotating keys: %w", err)
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
	case c.Algorithm != "" && !c.Algorithm.Valid():
		return fmt.Errorf("unknown algorithm %q: must be %s, %s or %s", c.Algorithm, EdDSA, ES256, RS256)
	case c.PublishAhead < 0 || c.KeepRetired < 0 || c.MinAge < 0:
		return errors.New("PublishAhead, KeepRetired and MinAge must not be negative")
	}
	return nil
}

// A rotation is one run of Rotate on a locked directory.
type rotation struct {
	config  RotateConfig
	dir     string
	now     time.Time
	keys    *datedKeys
	added   bool
	removed []string
}

// newKeyPrefix is the prefix of the names of files that are not complete yet.
const newKeyPrefix = ".new-"

// sweep deletes the incomplete files of runs that were killed.
func (r *rotation) sweep() error {
	left, err := filepath.Glob(filepath.Join(r.dir, newKeyPrefix+"*"))
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

// extend adds the next key, unless there is one or the newest key is too young to be replaced.
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
	key, err := Generate(alg)
	if err != nil {
		return err
	}
	from = from.UTC().Truncate(time.Second)
	file := filepath.Join(r.dir, from.Format(keyFileTime))
	part := filepath.Join(r.dir, newKeyPrefix+key.ID())
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

// report returns the state of the directory.
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

// syncDir writes the names in a directory to disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
