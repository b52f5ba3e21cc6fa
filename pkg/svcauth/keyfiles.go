package svcauth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/micromachine/pkg/logsafe"
)

// keyFilesPollEvery is how often a service's own keys are looked at, while they are used.
const keyFilesPollEvery = 2 * time.Second

// SigningKeys are a service's own keys: a [*PrivateKey], which is one for ever, or [*KeyFiles], which are rotated. Its
// methods are safe for concurrent use.
type SigningKeys interface {
	// SigningKey returns the key that signs now.
	SigningKey() *PrivateKey
	// PublishedKeys returns the keys that receivers have to know now: the one that signs, the one that will sign next,
	// and those whose last tokens may still be on their way.
	PublishedKeys() []*PrivateKey
}

// SigningKey implements [SigningKeys].
func (k *PrivateKey) SigningKey() *PrivateKey { return k }

// PublishedKeys implements [SigningKeys].
func (k *PrivateKey) PublishedKeys() []*PrivateKey { return []*PrivateKey{k} }

// KeyFiles are a service's keys in files that change under it. They are read again within two seconds of a change, at the
// next use; while what is there is bad, the keys from before stay in use. Nothing runs in the background.
type KeyFiles struct {
	path    string
	log     *slog.Logger
	state   atomic.Pointer[datedKeys]
	checked atomic.Pointer[time.Time] // when path was last looked at
	reading sync.Mutex
	fault   string
}

// LoadKeys reads a service's keys from path: a file with one key, as [LoadKey] reads it, or a
// directory as [Rotate] keeps it. Each file must be its owner's alone, as there. A nil log stands
// for [slog.Default]; it gets a line for each change.
func LoadKeys(path string, log *slog.Logger) (*KeyFiles, error) {
	if log == nil {
		log = slog.Default()
	}
	keys, err := readKeys(path)
	if err != nil {
		return nil, fmt.Errorf("svcauth: %w", err)
	}
	f := &KeyFiles{path: path, log: slog.New(logsafe.NewHandler(log.Handler())).With("keys", path)}
	f.state.Store(keys)
	now := time.Now()
	f.checked.Store(&now)
	return f, nil
}

// SigningKey implements [SigningKeys]: the newest key whose time has come.
func (f *KeyFiles) SigningKey() *PrivateKey { return f.current().signing(time.Now()).key }

// PublishedKeys implements [SigningKeys]: all keys that are there.
func (f *KeyFiles) PublishedKeys() []*PrivateKey {
	keys := f.current().list
	published := make([]*PrivateKey, 0, len(keys))
	for _, k := range keys {
		published = append(published, k.key)
	}
	return published
}

// current returns the keys in use. When it is time, one caller looks at the files and the others go on meanwhile, unless
// what they know is older than that: after a pause all wait for what the files say now.
func (f *KeyFiles) current() *datedKeys {
	switch age := time.Since(*f.checked.Load()); {
	case age < keyFilesPollEvery, age < 2*keyFilesPollEvery && !f.reading.TryLock():
		return f.state.Load()
	case age >= 2*keyFilesPollEvery:
		f.reading.Lock()
	}
	defer f.reading.Unlock()
	if now := time.Now(); now.Sub(*f.checked.Load()) >= keyFilesPollEvery {
		f.look()
		f.checked.Store(&now)
	}
	return f.state.Load()
}

// look takes over what has changed in the files. f.reading is held.
func (f *KeyFiles) look() {
	keys, err := readKeys(f.path)
	switch {
	case err != nil && err.Error() != f.fault:
		f.fault = err.Error()
		f.log.Error("signing keys are bad, those from before stay in use", "error", err)
	case err == nil && (f.fault != "" || keys.digest != f.state.Load().digest):
		f.fault = ""
		f.state.Store(keys)
		f.log.Info("signing keys are read again", "count", len(keys.list), "kid", keys.signing(time.Now()).key.ID())
	}
}

// datedKeys are keys in the order in which they sign. There is at least one.
type datedKeys struct {
	list   []datedKey
	digest [sha256.Size]byte // of names and contents
}

// A datedKey is a key that signs from a time on, until the next one does.
type datedKey struct {
	key  *PrivateKey
	from time.Time
	file string
}

// signing returns the newest key whose time has come, or the first one where there is none yet.
func (d *datedKeys) signing(now time.Time) datedKey {
	for _, k := range slices.Backward(d.list) {
		if !k.from.After(now) {
			return k
		}
	}
	return d.list[0]
}

// readKeys reads a key file, or the keys of a directory, of which there must be one.
func readKeys(path string) (*datedKeys, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("loading signing keys: %w", err)
	}
	keys := &datedKeys{}
	if !info.IsDir() {
		err = keys.add(path, time.Time{})
		return keys, err
	}
	for range 10 { // a key that was deleted after its directory was read is none that is missing
		if keys, err = readKeyDir(path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err == nil && len(keys.list) == 0 {
		return nil, fmt.Errorf("loading signing keys: no key in %s: \"svcauth rotate\" makes one", path)
	}
	return keys, err
}

// keyFileTime is how the files of a key directory are named: for the second from which their key signs, in UTC.
const keyFileTime = "20060102T150405Z.pem"

// readKeyDir reads the keys of a directory, which may be empty. What is not named for a PEM file is none of its business.
func readKeyDir(dir string) (*datedKeys, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("loading signing keys: %w", err)
	}
	keys := &datedKeys{}
	for _, entry := range entries { // in the order of their names, which is that of time
		name := entry.Name()
		if !strings.HasSuffix(name, ".pem") || strings.HasPrefix(name, ".") {
			continue
		}
		from, err := time.Parse(keyFileTime, name)
		if err != nil {
			return nil, fmt.Errorf("loading signing keys: %s is not named for a time, such as %s", filepath.Join(dir, name), keyFileTime)
		}
		if err := keys.add(filepath.Join(dir, name), from); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func (d *datedKeys) add(file string, from time.Time) error {
	data, err := readSecret(file)
	if err != nil {
		return fmt.Errorf("loading signing keys: %w", err)
	}
	key, err := parsePrivateKey(data)
	if err != nil {
		return fmt.Errorf("loading signing keys: %s: %w", file, err)
	}
	if slices.ContainsFunc(d.list, func(k datedKey) bool { return k.key.ID() == key.ID() }) {
		return fmt.Errorf("loading signing keys: %s: %w", file, errors.New("the same key as another file's"))
	}
	d.list = append(d.list, datedKey{key, from, file})
	d.digest = sha256.Sum256(fmt.Appendf(d.digest[:], "%q %q", file, data))
	return nil
}
