//go:build unix

package keys

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir locks the directory against other processes and waits until it can. It locks a file in
// the directory, because NFS does not lock directories. The operating system releases the lock when
// the process ends.
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
