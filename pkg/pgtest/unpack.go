package pgtest

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"
)

// maxUnpacked is the largest size of an unpacked archive, in bytes. The archive for macOS has about
// 250 MB.
const maxUnpacked = 1 << 30

// unpack unpacks an archive into a new directory that every user can read. An archive is a zip file
// that has one tar file compressed with xz. No entry is written outside of the directory.
func unpack(ctx context.Context, archive, dir string) error {
	jar, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer jar.Close()
	for _, file := range jar.File {
		if strings.HasSuffix(file.Name, ".txz") {
			return unpackTree(ctx, file, dir)
		}
	}
	return errors.New("it has no .txz file")
}

func unpackTree(ctx context.Context, file *zip.File, dir string) error {
	packed, err := file.Open()
	if err != nil {
		return err
	}
	defer packed.Close()
	plain, err := xz.NewReader(bufio.NewReader(packed))
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	limited := &io.LimitedReader{R: plain, N: maxUnpacked}
	if err := unpackEntries(ctx, tar.NewReader(limited), root); err != nil {
		return err
	}
	// The checksums of both formats are at the end.
	if _, err := io.Copy(io.Discard, limited); err != nil {
		return err
	}
	if limited.N <= 0 {
		return fmt.Errorf("it has more than %d bytes", maxUnpacked)
	}
	return makeReadable(root)
}

func unpackEntries(ctx context.Context, entries *tar.Reader, root *os.Root) error {
	for ctx.Err() == nil {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(header, entries, root); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
	return ctx.Err()
}

// unpackEntry creates a directory, a file or a symbolic link. The root refuses a name outside of
// it, also one that a link leads to.
func unpackEntry(header *tar.Header, content io.Reader, root *os.Root) error {
	name := filepath.Clean(header.Name)
	if header.Typeflag == tar.TypeDir {
		return root.MkdirAll(name, 0o700)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg:
		return writeFile(root, name, header.FileInfo().Mode().Perm(), content)
	case tar.TypeSymlink:
		return makeLink(root, header.Linkname, name)
	default:
		return fmt.Errorf("an entry of type %q", header.Typeflag)
	}
}

func writeFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode|0o200)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, content); err != nil {
		return err
	}
	return file.Close()
}

// makeLink creates a symbolic link. Its target may be unpacked later, but must be in the root.
func makeLink(root *os.Root, target, name string) error {
	if err := root.Symlink(target, name); err != nil {
		return err
	}
	if _, err := root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link to %s: %w", target, err)
	}
	return nil
}

// makeReadable makes all files readable for every user, and executable for every user if they are
// for their owner. The umask and the archive may have denied it.
func makeReadable(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return root.Chmod(name, mode)
	})
}
