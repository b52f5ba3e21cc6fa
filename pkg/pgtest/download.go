package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// downloadVersion is the version of the programs to download.
const downloadVersion = "17.11.0"

// digests has the SHA-256 of the archive of downloadVersion for each platform.
var digests = map[string]string{
	"linux-amd64":          "0dd7b72b6f335b8ecfb355fa24c5781e8a93edd09880bb77eb52ebbf29b3e96d",
	"linux-amd64-alpine":   "ace9a6f95b1c98ce84c9841267cd04ebee5d7de5dc7b8fea148ead44f145afbd",
	"linux-arm64v8":        "8b042e0ea418b1927d95399207950da0734d27fe01e29503ade3bdc464ad4c2b",
	"linux-arm64v8-alpine": "4ab1a5ced1200b2740186d537fd79628bc1c83f07d2bab7b18b6103390d48c54",
	"darwin-amd64":         "d464ff178e9860ba204662ac23fa547504b7fd392392ff2fb92e3fd73b5bdb64",
	"darwin-arm64v8":       "a1c2786acb0c398f9b2d76806fc52f5dc8b222cbc8e9383a9b9702084daaf3a5",
}

// platform returns the name of this machine's platform in the repository.
func platform() (string, error) {
	name := runtime.GOOS + "-" + runtime.GOARCH
	if runtime.GOARCH == "arm64" {
		name += "v8"
	}
	if _, err := os.Stat("/etc/alpine-release"); err == nil {
		name += "-alpine" // its C library is musl
	}
	if digests[name] == "" {
		return "", fmt.Errorf("there are no programs for %s", name)
	}
	return name, nil
}

// startDownloaded runs the PostgreSQL programs of the user's cache, and downloads them first if
// they are not there.
func startDownloaded(ctx context.Context, logf func(string, ...any)) (*Server, error) {
	dir, err := download(ctx, logf)
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "bin")
	version, err := programVersion(ctx, bin)
	if err != nil {
		return nil, fmt.Errorf("running the programs in %s (remove it to download them again): %w", dir, err)
	}
	return startPrograms(ctx, bin, version, logf)
}

// download returns the directory of the downloaded programs. It is safe for several processes at
// once: one downloads, and the others wait.
func download(ctx context.Context, logf func(string, ...any)) (dir string, err error) {
	platform, err := platform()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, downloadVersion+"-"+platform)
	if isDir(dir) {
		return dir, nil
	}
	lock, err := lockDir(ctx, cache, logf)
	if err != nil {
		return "", fmt.Errorf("locking %s: %w", cache, err)
	}
	defer lock.Close()
	if isDir(dir) { // another process was first
		return dir, nil
	}
	return dir, install(ctx, platform, dir, logf)
}

// cacheDir creates and returns the directory for downloaded programs. No other user can enter
// root's own cache, and root's programs run as another user, so root's directory is one of the
// system.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	root := os.Geteuid() == 0
	if root && os.Getenv("XDG_CACHE_HOME") == "" {
		base, err = "/var/cache", nil
	}
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	dir := filepath.Join(base, "micromachine", "postgres")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	if root { // the umask may have closed it
		err = errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755))
	}
	return dir, err
}

// lockDir locks a directory against other processes until the returned file is closed. The system
// unlocks it when the process ends.
func lockDir(ctx context.Context, dir string, logf func(string, ...any)) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for waiting := false; ; waiting = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, err
		}
		if !waiting {
			logf("download: waiting for another process, which downloads")
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// install downloads and unpacks the programs next to dir, and renames them to dir when they are
// complete. The caller holds the lock.
func install(ctx context.Context, platform, dir string, logf func(string, ...any)) error {
	partial := filepath.Join(filepath.Dir(dir), "partial")
	if err := os.RemoveAll(partial); err != nil { // it is left if a process was killed
		return fmt.Errorf("removing a partial download: %w", err)
	}
	defer os.RemoveAll(partial)
	if err := os.Mkdir(partial, 0o700); err != nil {
		return fmt.Errorf("making a directory for the download: %w", err)
	}
	archive, programs := filepath.Join(partial, "archive.jar"), filepath.Join(partial, "programs")
	if err := fetch(ctx, platform, archive, logf); err != nil {
		return err
	}
	if err := unpack(ctx, archive, programs); err != nil {
		return fmt.Errorf("unpacking the archive: %w", err)
	}
	if _, err := os.Stat(filepath.Join(programs, "bin", "postgres")); errors.Is(err, fs.ErrNotExist) {
		return errors.New("the archive has no bin/postgres")
	}
	if err := os.Rename(programs, dir); err != nil {
		return fmt.Errorf("moving the programs into place: %w", err)
	}
	return nil
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
