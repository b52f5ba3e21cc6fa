package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDevCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := "made " + filepath.Join(dir, "ca-key.pem") + "\nmade " + filepath.Join(dir, "ca.pem") +
		"\nmade " + filepath.Join(dir, "a.service-key.pem") + "\nmade " + filepath.Join(dir, "a.service.pem") + "\n"
	if got := succeed(t, "dev-ca", "a.service", "--dir", dir); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDevCAJSON(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	succeed(t, "dev-ca", "--dir", dir, "a.service")
	succeed(t, "dev-ca", "--dir", other, "a.service")
	if err := os.Rename(filepath.Join(other, "a.service.pem"), filepath.Join(dir, "a.service.pem")); err != nil {
		t.Fatal(err)
	}
	var files []map[string]string
	if err := json.Unmarshal([]byte(succeed(t, "dev-ca", "--json", "--dir", dir, "a.service")), &files); err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{
		{"file": filepath.Join(dir, "ca-key.pem"), "action": "kept"},
		{"file": filepath.Join(dir, "ca.pem"), "action": "kept"},
		{"file": filepath.Join(dir, "a.service-key.pem"), "action": "kept"},
		{
			"file": filepath.Join(dir, "a.service.pem"), "action": "replaced",
			"reason": "it does not match the key in " + filepath.Join(dir, "a.service-key.pem"),
		},
	}
	if !slices.EqualFunc(files, want, maps.Equal) {
		t.Errorf("%v, want %v", files, want)
	}
}

func TestDevCAFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	succeed(t, "dev-ca", "--dir", dir, "a.service")
	if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	execute(t, "", "dev-ca", "--dir", dir, "b.service").mustFail(t, exitFailed, "put the key back")

	for _, host := range []string{"", "ca", "a-key", "../up", "A.service", "a b"} {
		dir := filepath.Join(t.TempDir(), "new")
		execute(t, "", "dev-ca", "--dir", dir, "--", host).mustFail(t, exitUsage, host)
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("host %q: the directory was made", host)
		}
	}
}
