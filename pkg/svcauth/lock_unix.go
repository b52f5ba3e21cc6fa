//go:build unix

package svcauth

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir waits until nobody else has the directory locked, by a file in it that is there for this alone: NFS locks no
// directories. The lock ends with the process, however that ends.
func lockDir(dir string) (unlock func(), err error) {
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return func() { _ = lock.Close() }, nil
}
