// Package atomicfile creates and replaces small files, each as a whole: a failed write leaves what
// was there before.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Create creates a file with data. A file that exists is an error that wraps [fs.ErrExist]. When
// writing fails the file is removed.
func Create(file string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// Replace writes a file with mode 0644. Other processes see either the old content or the new. If
// the file exists, [Read] must accept it and check must return nil for its content, so that nothing
// of value, such as a key, is lost.
func Replace(file string, data []byte, check func(old []byte) error) error {
	old, err := Read(file)
	if err == nil {
		err = check(old)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// maxBytes bounds the files that are replaced.
const maxBytes = 1 << 20

// Read reads a file that [Replace] may replace. A symbolic link, a directory and a file of more
// than 1 MiB are errors.
func Read(file string) ([]byte, error) {
	info, err := os.Lstat(file)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file, and is not replaced", file)
	case info.Size() > maxBytes:
		return nil, fmt.Errorf("%s has %d bytes, and is not replaced", file, info.Size())
	}
	return os.ReadFile(file)
}
