// Package fileperm checks whether other users can read or change a file with a private key, or
// create files in a directory. On platforms without Unix permissions it checks nothing, and logs a
// warning once.
package fileperm

import (
	"fmt"
	"io/fs"
)

// Secret returns an error when users other than the owner can read or change a file with a private
// key. The group of a file that belongs to root may read it, unless this process runs as root. This
// lets a service that runs as another user read a secret, for example in Kubernetes with fsGroup.
// PostgreSQL has the same rule. Secret returns nil for a file that is not regular, such as a pipe.
func Secret(file string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return nil
	}
	return checkSecret(file, info)
}

// OwnKey returns an error unless a file with a private key is a regular file that belongs to this
// user and that no other user can read or change. info is from [os.Lstat].
func OwnKey(file string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", file)
	}
	return checkOwner(file, info, 0o077, "600")
}

// OwnDir returns an error when a directory belongs to another user, or other users can create or
// remove files in it.
func OwnDir(dir string, info fs.FileInfo) error {
	return checkOwner(dir, info, 0o022, "go-w")
}

func modeError(file string, info fs.FileInfo, chmod string) error {
	return fmt.Errorf("%s has mode %04o, so that other users have access to it: run chmod %s %s",
		file, info.Mode().Perm(), chmod, file)
}
