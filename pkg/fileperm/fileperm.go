// Package fileperm says whether other users can read or change a file that holds a private key, or
// plant one in a directory. On platforms without Unix permissions it cannot say, and logs a warning
// once.
package fileperm

import (
	"fmt"
	"io/fs"
)

// Secret returns an error when others than the owner of a file with a private key can read or
// change it. The owner's group may read a file that belongs to root, unless this process is root:
// so a secret reaches a service that runs as another user, in Kubernetes by fsGroup for example.
// PostgreSQL has the same rule. What is no regular file, such as a pipe, is let pass.
func Secret(file string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return nil
	}
	return secret(file, info)
}

// OwnKey returns an error unless a file with a private key is this user's alone: a regular file
// that no other user owns, reads or changes. info is from [os.Lstat].
func OwnKey(file string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", file)
	}
	return own(file, info, 0o077, "600")
}

// OwnDir returns an error when others than this user can change which files a directory has.
func OwnDir(dir string, info fs.FileInfo) error {
	return own(dir, info, 0o022, "go-w")
}

func modeError(file string, info fs.FileInfo, chmod string) error {
	return fmt.Errorf("%s has mode %04o, so that other users have access to it: run chmod %s %s",
		file, info.Mode().Perm(), chmod, file)
}
