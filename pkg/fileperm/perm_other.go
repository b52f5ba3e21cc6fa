//go:build !unix

package fileperm

import (
	"io/fs"
	"log/slog"
	"sync"
)

var warn = sync.OnceFunc(func() {
	slog.Warn("this platform does not say who else can read or change the files of private keys: make sure that nobody can")
})

func secret(string, fs.FileInfo) error {
	warn()
	return nil
}

func own(string, fs.FileInfo, fs.FileMode, string) error {
	warn()
	return nil
}
