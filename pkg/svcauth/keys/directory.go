package keys

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// datedKeys are keys in the order in which they sign. There is at least one.
type datedKeys struct {
	list   []datedKey
	digest [sha256.Size]byte // of names and contents
}

// A datedKey is a key that signs from a time on, until the next one does.
type datedKey struct {
	key  *Private
	from time.Time
	file string
}

// signing returns the newest key whose time has come, or the first key if there is none.
func (d *datedKeys) signing(now time.Time) datedKey {
	for _, k := range slices.Backward(d.list) {
		if !k.from.After(now) {
			return k
		}
	}
	return d.list[0]
}

// readKeys reads a key file, or the keys of a directory. A directory without a key is an error.
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
	for range 10 { // a rotation can delete a key after the directory is listed
		if keys, err = readKeyDir(path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err == nil && len(keys.list) == 0 {
		return nil, fmt.Errorf("loading signing keys: no key in %s: \"svcauth rotate\" makes one", path)
	}
	return keys, err
}

// keyFileTime is the layout of the file names in a key directory: the second, in UTC, from which
// the key signs.
const keyFileTime = "20060102T150405Z.pem"

// readKeyDir reads the keys of a directory, which may be empty. Files without the suffix ".pem" and
// hidden files are ignored.
func readKeyDir(dir string) (*datedKeys, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("loading signing keys: %w", err)
	}
	keys := &datedKeys{}
	for _, entry := range entries { // sorted by name, and so by time
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
	key, err := parsePrivate(data)
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
