package pgtest

import (
	"context"
	"path/filepath"
)

// InstalledPrograms returns the directory of the installed PostgreSQL programs, without symbolic
// links, or an error when they cannot be used.
func InstalledPrograms(ctx context.Context) (string, error) {
	bin, _, err := findPrograms(ctx, func(string, ...any) {})
	if err != nil {
		return "", err
	}
	postgres, err := filepath.EvalSymlinks(filepath.Join(bin, "postgres"))
	return filepath.Dir(postgres), err
}

// PinnedDigest returns the SHA-256 of the archive for this machine.
func PinnedDigest() (string, error) {
	name, err := platform()
	return digests[name], err
}
