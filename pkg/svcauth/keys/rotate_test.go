package keys_test

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
)

// rotate runs one step of the rotation of a key directory.
func rotate(t *testing.T, dir string, config keys.RotateConfig) *keys.Rotation {
	t.Helper()
	rotation, err := keys.Rotate(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	return rotation
}

func loadKeys(t *testing.T, path string) *keys.Files {
	t.Helper()
	files, err := keys.Watch(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// kids returns the published kids, the oldest first.
func kids(own keys.Signing) []string {
	var kids []string
	for _, k := range own.PublishedKeys() {
		kids = append(kids, k.ID())
	}
	return kids
}

// A key is first published, then signs, then is still published, and then is removed. Rotate may be
// called at any time in between.
func TestRotate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "keys")
		first := rotate(t, dir, keys.RotateConfig{})
		if !first.Added || first.Next != "" || first.Signing == "" {
			t.Fatalf("first %+v", first)
		}
		files := loadKeys(t, dir)
		expect := func(signing string, published ...string) {
			t.Helper()
			<-time.After(3 * time.Second)
			if got := files.SigningKey().ID(); got != signing {
				t.Errorf("%s signs, want %s", got, signing)
			}
			if got := kids(files); !slices.Equal(got, published) {
				t.Errorf("%v are published, want %v", got, published)
			}
		}
		expect(first.Signing, first.Signing)

		second := rotate(t, dir, keys.RotateConfig{})
		if !second.Added || second.Signing != first.Signing || second.Next == "" || time.Until(second.NextFrom) > 20*time.Minute {
			t.Fatalf("second %+v", second)
		}
		expect(first.Signing, first.Signing, second.Next)
		if again := rotate(t, dir, keys.RotateConfig{}); again.Added || again.Next != second.Next || len(again.Removed) > 0 {
			t.Errorf("at once again %+v", again)
		}
		<-time.After(20 * time.Minute)
		expect(second.Next, first.Signing, second.Next)
		if early := rotate(t, dir, keys.RotateConfig{MinAge: time.Hour}); early.Added || !slices.Equal(early.Retiring, []string{first.Signing}) {
			t.Errorf("early %+v", early)
		}
		<-time.After(20 * time.Minute)
		last := rotate(t, dir, keys.RotateConfig{MinAge: time.Hour})
		if last.Added || !slices.Equal(last.Removed, []string{first.Signing}) || last.Signing != second.Next || len(last.Retiring) > 0 {
			t.Errorf("last %+v", last)
		}
		expect(second.Next, second.Next)
	})
}

// A new key has the algorithm of the key before it, unless another is asked for.
func TestRotateAlgorithm(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, tt := range []struct{ asked, want keys.Algorithm }{
			{"", keys.EdDSA}, {keys.ES256, keys.ES256}, {"", keys.ES256}, {keys.EdDSA, keys.EdDSA},
		} {
			rotate(t, dir, keys.RotateConfig{Algorithm: tt.asked})
			published := loadKeys(t, dir).PublishedKeys()
			if got := published[len(published)-1].Algorithm(); got != tt.want {
				t.Errorf("%q was asked for, the new key is for %s", tt.asked, got)
			}
			<-time.After(time.Hour)
		}
	})
}

// Concurrent calls of Rotate make one key, and leave a good directory.
func TestRotateConcurrently(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rotate(t, dir, keys.RotateConfig{})
	var all sync.WaitGroup
	var mu sync.Mutex
	added := 0
	for range 8 {
		all.Go(func() {
			rotation, err := keys.Rotate(dir, keys.RotateConfig{})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else if rotation.Added {
				added++
			}
		})
	}
	all.Wait()
	if published := kids(loadKeys(t, dir)); added != 1 || len(published) != 2 {
		t.Errorf("%d keys were added, %d are there", added, len(published))
	}
}

// The temporary file of a killed run is not read as a key. The next run removes it.
func TestRotateAfterKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := rotate(t, dir, keys.RotateConfig{})
	left := filepath.Join(dir, ".new-"+first.Signing)
	writeFile(t, left, []byte("-----BEGIN PRIV"))
	if published := kids(loadKeys(t, dir)); !slices.Equal(published, []string{first.Signing}) {
		t.Errorf("published %v", published)
	}
	rotate(t, dir, keys.RotateConfig{})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

// After a run is killed at any moment, every key file in the directory is complete, and the next
// run continues the rotation.
func TestRotateKilled(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("ROTATE_UNTIL_KILLED"); dir != "" {
		for n := 0; ; n++ {
			if _, err := keys.Rotate(filepath.Join(dir, strconv.Itoa(n)), keys.RotateConfig{Algorithm: keys.ES256}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 10 {
		dir := t.TempDir()
		run := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRotateKilled$")
		run.Env = append(os.Environ(), "ROTATE_UNTIL_KILLED="+dir)
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); len(glob(t, dir, "*")) < 5 && time.Now().Before(deadline); {
			<-time.After(time.Millisecond)
		}
		<-time.After(rand.N(5 * time.Millisecond))
		if err := run.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = run.Wait() // it was killed
		if made := glob(t, dir, "*"); len(made) < 5 {
			t.Fatalf("only %d directories were made", len(made))
		}
		for _, keyDir := range glob(t, dir, "*") {
			if _, err := keys.Watch(keyDir, nil); err != nil && !strings.Contains(err.Error(), "no key in") {
				t.Error(err)
			}
			rotate(t, keyDir, keys.RotateConfig{})
			if published, all := loadKeys(t, keyDir).PublishedKeys(), glob(t, keyDir, "2*"); len(published) != len(all) || len(glob(t, keyDir, ".new*")) > 0 {
				t.Errorf("%d keys in %v", len(published), all)
			}
		}
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Only the owner can read the files.
func TestRotateModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	rotate(t, dir, keys.RotateConfig{})
	files := glob(t, dir, "2*")
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	for file, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, files[0]: 0o600} {
		if info, err := os.Stat(file); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}

// An error names the file or field at fault. The directory is not changed.
func TestRotateFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		files  map[string]string
		config keys.RotateConfig
		want   string
	}{
		{"no key", map[string]string{"20260101T000000Z.pem": "x"}, keys.RotateConfig{}, "20260101T000000Z.pem: no PEM block"},
		{"no time", map[string]string{"key.pem": "x"}, keys.RotateConfig{}, "key.pem is not named for a time"},
		{"algorithm", nil, keys.RotateConfig{Algorithm: "HS256"}, `unknown algorithm "HS256"`},
		{"negative time", nil, keys.RotateConfig{PublishAhead: -1}, "must not be negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range tt.files {
				writeFile(t, filepath.Join(dir, name), []byte(text))
			}
			if _, err := keys.Rotate(dir, tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if files := glob(t, dir, "*.pem"); len(files) != len(tt.files) {
				t.Errorf("left %v", files)
			}
		})
	}
}
