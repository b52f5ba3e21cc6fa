package pgtest_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ulikunitz/xz"

	"example.com/micromachine/pkg/pgtest"
)

// An entry is a file of a test archive, or a symbolic link.
type entry struct {
	name    string
	mode    fs.FileMode
	content []byte
	link    string
}

// jar returns an archive like those of the repository.
func jar(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	return zipped(tb, compressed(tb, entries...))
}

// zipped returns a zip file with one file.
func zipped(tb testing.TB, txz []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	file, err := w.CreateHeader(&zip.FileHeader{Name: "postgres-linux-x86_64.txz", Method: zip.Store})
	if err == nil {
		_, err = file.Write(txz)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatalf("making a zip file: %v", err)
	}
	return out.Bytes()
}

// compressed returns a tar file that is compressed with xz. The small dictionary makes it fast.
func compressed(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var out bytes.Buffer
	packer, err := xz.WriterConfig{DictCap: 1 << 16}.NewWriter(&out)
	if err != nil {
		tb.Fatal(err)
	}
	w := tar.NewWriter(packer)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: int64(e.mode), Size: int64(len(e.content)), Typeflag: tar.TypeReg}
		if e.link != "" {
			header.Typeflag, header.Linkname = tar.TypeSymlink, e.link
		}
		if err := w.WriteHeader(header); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(e.content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := packer.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

var (
	installedOnce sync.Once
	installed     []byte
)

// installedJar returns an archive of the installed programs. Without them it skips the test, and in
// CI it fails it.
func installedJar(t *testing.T) []byte {
	t.Helper()
	bin, err := pgtest.InstalledPrograms(t.Context())
	if err != nil {
		unavailable(t, err.Error())
	}
	installedOnce.Do(func() {
		entries, err := installedEntries(t.Context(), bin)
		if err != nil {
			t.Errorf("reading the installed programs: %v", err)
			return
		}
		installed = jar(t, entries...)
	})
	if installed == nil {
		t.Fatal("no archive of the installed programs")
	}
	return installed
}

// installedEntries returns the files that a server needs, in the folders that it expects relative
// to its program.
func installedEntries(ctx context.Context, bin string) ([]entry, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "pg_config"), "--pkglibdir", "--sharedir").Output()
	if err != nil {
		return nil, fmt.Errorf("running pg_config: %w", err)
	}
	lib, share, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	prefix := bin
	for !strings.HasPrefix(lib, prefix+"/") || !strings.HasPrefix(share, prefix+"/") {
		prefix = filepath.Dir(prefix)
	}
	var entries []entry
	if folder := strings.TrimPrefix(bin, prefix+"/"); folder != "bin" {
		entries = append(entries, entry{name: "bin", link: folder})
	}
	for _, top := range []string{filepath.Join(bin, "postgres"), filepath.Join(bin, "initdb"), lib, share} {
		err := filepath.WalkDir(top, func(name string, found fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case found.IsDir() && (found.Name() == "bitcode" || found.Name() == "man"):
				return fs.SkipDir
			case found.IsDir() || !needed(name):
				return nil
			}
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			content, err := os.ReadFile(name)
			entries = append(entries, entry{
				name: strings.TrimPrefix(name, prefix+"/"), mode: info.Mode().Perm(), content: content,
			})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// needed reports whether a server needs a file to start. Of the libraries and extensions it needs
// few, and a small archive makes the tests fast.
func needed(name string) bool {
	base := filepath.Base(name)
	optional := filepath.Base(filepath.Dir(name)) == "extension" || strings.HasSuffix(base, ".so")
	return !optional || strings.HasPrefix(base, "plpgsql") || strings.HasPrefix(base, "dict_snowball")
}
