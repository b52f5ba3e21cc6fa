//go:build unix

package fileperm

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func checkSecret(file string, info fs.FileInfo) error {
	forbidden := fs.FileMode(0o077)
	if owner, ok := ownerOf(info); ok && owner == 0 && os.Geteuid() != 0 {
		forbidden = 0o037
	}
	if info.Mode().Perm()&forbidden != 0 {
		return modeError(file, info, "600")
	}
	return nil
}

func checkOwner(file string, info fs.FileInfo, forbidden fs.FileMode, chmod string) error {
	if owner, ok := ownerOf(info); ok && owner != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user, of UID %d", file, owner)
	}
	if info.Mode().Perm()&forbidden != 0 {
		return modeError(file, info, chmod)
	}
	return nil
}

func ownerOf(info fs.FileInfo) (uid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
