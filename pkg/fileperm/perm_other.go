//go:build !unix

package fileperm

import (
	"io/fs"
	"log/slog"
	"sync"
)

var warn = sync.OnceFunc(func() {
	slog.Warn("file permissions cannot be checked on this platform: " +
		"make sure that no other user can access the private keys")
})

func secret(string, fs.FileInfo) error {
	warn()
	return nil
}

func own(string, fs.FileInfo, fs.FileMode, string) error {
	warn()
	return nil
}
