package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeNew creates file with data, complete or not at all. A file that is there already is an
// error.
func writeNew(file string, data []byte, mode os.FileMode) error {
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

// maxReplaced bounds the files that are replaced, all of which this program wrote.
const maxReplaced = 1 << 20

// readReplaceable reads a file that is to be replaced. A link, a directory or a large file is an
// error.
func readReplaceable(file string) ([]byte, error) {
	info, err := os.Lstat(file) //nolint:gosec // whoever runs the command names the file
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file, and is not replaced", file)
	case info.Size() > maxReplaced:
		return nil, fmt.Errorf("%s has %d bytes, and is not replaced", file, info.Size())
	}
	return os.ReadFile(file) //nolint:gosec // whoever runs the command names the file
}

// replaceFile writes file, which others may read, so that they see the old content or the new and
// nothing between. Whatever could be a key must not be lost: a file that is there already has to
// pass check.
func replaceFile(file string, data []byte, check func(old []byte) error) error {
	old, err := readReplaceable(file)
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
		err = os.Rename(temp.Name(), file) //nolint:gosec // whoever runs the command names the file
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name())) //nolint:gosec // as above
	}
	return nil
}
