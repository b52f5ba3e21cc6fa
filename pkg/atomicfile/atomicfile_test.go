package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/atomicfile"
)

func accept([]byte) error { return nil }

func TestCreate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := atomicfile.Create(file, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Create(file, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating it again: error %v, want %v", err, fs.ErrExist)
	}
	checkFile(t, file, "first", 0o600)
}

func TestReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "set.json")
	for _, content := range []string{"first", "second"} {
		if err := atomicfile.Replace(file, []byte(content), accept); err != nil {
			t.Fatal(err)
		}
		checkFile(t, file, content, 0o644)
	}
	valuable := errors.New("a key")
	err := atomicfile.Replace(file, []byte("third"), func(old []byte) error {
		if string(old) != "second" {
			t.Errorf("check got %q", old)
		}
		return valuable
	})
	if !errors.Is(err, valuable) {
		t.Errorf("error %v, want %v", err, valuable)
	}
	checkFile(t, file, "second", 0o644)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v; want one file", entries, err)
	}
}

func TestReplaceFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large, link := filepath.Join(dir, "large"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(large, make([]byte, 1<<20+1), 0o600), os.Symlink(large, link)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		large:                                "has 1048577 bytes, and is not replaced",
		link:                                 "is not a regular file",
		dir:                                  "is not a regular file",
		filepath.Join(dir, "absent", "file"): "no such file",
	} {
		if err := atomicfile.Replace(file, nil, accept); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", file, err, want)
		}
	}
}

func checkFile(t *testing.T, file, content string, mode fs.FileMode) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil || string(data) != content {
		t.Errorf("%s has %q, %v; want %q", file, data, err, content)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != mode {
		t.Errorf("%s: %v, %v; want mode %v", file, info, err, mode)
	}
}
