package keys_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
)

// saveKey writes a new key to a file, and replaces the file if it exists.
func saveKey(t *testing.T, file string) *keys.Private {
	t.Helper()
	key := generateKey(t, keys.EdDSA)
	if err := key.Save(file + ".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	return key
}

// When a key file changes, its new key signs. While the file is bad, the key before stays in use.
func TestKeyFileChanges(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "key.pem")
		first := saveKey(t, file)
		var log bytes.Buffer
		files, err := keys.Watch(file, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		expect := func(want *keys.Private) {
			t.Helper()
			<-time.After(3 * time.Second)
			if got := files.SigningKey().ID(); got != want.ID() {
				t.Errorf("%s signs, want %s: %s", got, want.ID(), log.String())
			}
		}
		expect(first)
		writeFile(t, file, []byte("-----BEGIN PRIVATE KEY-----"))
		expect(first)
		expect(first)
		if times := strings.Count(log.String(), "signing keys are bad"); times != 1 || !strings.Contains(log.String(), file) {
			t.Errorf("logged %d times: %s", times, log.String())
		}
		second := saveKey(t, file)
		expect(second)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		expect(second)
		if strings.Contains(log.String(), "PRIVATE") {
			t.Errorf("the log holds a key: %s", log.String())
		}
	})
}

// Kubernetes replaces a mounted directory by renaming a symbolic link to it.
func TestKeyDirSymlinkSwap(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		now := time.Now().UTC()
		mount := func(version string, offsets ...time.Duration) (saved []*keys.Private) {
			t.Helper()
			if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, offset := range offsets {
				name := now.Add(offset).Format("20060102T150405Z") + ".pem"
				saved = append(saved, saveKey(t, filepath.Join(dir, version, name)))
				_ = os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)) // may be there
			}
			if err := os.Symlink(version, filepath.Join(dir, "new")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "..data")); err != nil {
				t.Fatal(err)
			}
			return saved
		}
		before := mount("v1", -time.Hour)
		files := loadKeys(t, dir)
		after := mount("v2", -time.Hour, time.Minute)
		<-time.After(3 * time.Second)
		if files.SigningKey().ID() != after[0].ID() || len(files.PublishedKeys()) != 2 {
			t.Errorf("after the swap %v, before %s", kids(files), before[0].ID())
		}
		<-time.After(time.Minute)
		if files.SigningKey().ID() != after[1].ID() {
			t.Error("the key with the latest time that has passed does not sign")
		}
	})
}

// If the times of all keys in a directory are in the future, the key with the first time signs.
func TestKeyDirWithFutureTimes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	soon := saveKey(t, filepath.Join(dir, time.Now().UTC().Add(time.Hour).Format("20060102T150405Z")+".pem"))
	saveKey(t, filepath.Join(dir, time.Now().UTC().Add(2*time.Hour).Format("20060102T150405Z")+".pem"))
	if got := loadKeys(t, dir).SigningKey().ID(); got != soon.ID() {
		t.Errorf("%s signs, want %s", got, soon.ID())
	}
}

// A service that was idle during a rotation signs with the present key. The first signature after
// the idle time reads the file again.
func TestKeyDirAfterIdleTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "key.pem")
		saveKey(t, file)
		files := loadKeys(t, file)
		for range 20 {
			<-time.After(6 * time.Hour)
			now := saveKey(t, file)
			var burst sync.WaitGroup
			for range 32 {
				burst.Go(func() {
					if id := files.SigningKey().ID(); id != now.ID() {
						t.Errorf("%s signs, and is no longer there", id)
					}
				})
			}
			burst.Wait()
		}
	})
}

// A key that is deleted while the directory is read is no fault.
func TestKeyDirUnderDeletion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rotate(t, dir, keys.RotateConfig{})
	spare := filepath.Join(dir, "29990101T000000Z.pem")
	key := generateKey(t, keys.EdDSA)
	ended := make(chan struct{})
	var churn sync.WaitGroup
	churn.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(100 * time.Microsecond):
			}
			if err := key.Save(filepath.Join(dir, ".new-spare")); err != nil {
				t.Error(err)
			}
			if err := os.Rename(filepath.Join(dir, ".new-spare"), spare); err != nil {
				t.Error(err)
			}
			if err := os.Remove(spare); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2000 {
		if _, err := keys.Watch(dir, nil); err != nil {
			t.Error(err)
			break
		}
	}
	close(ended)
	churn.Wait()
}

// A path without usable keys is an error that names the path.
func TestLoadKeysFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	twice := filepath.Join(dir, "twice")
	if err := os.MkdirAll(twice, 0o700); err != nil {
		t.Fatal(err)
	}
	key := generateKey(t, keys.EdDSA)
	for _, name := range []string{"20260101T000000Z.pem", "20260102T000000Z.pem"} {
		if err := key.Save(filepath.Join(twice, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "no such file",
		t.TempDir():                   "no key in ",
		twice:                         "20260102T000000Z.pem: the same key as another file's",
	} {
		if _, err := keys.Watch(path, nil); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

// The published set changes with the files.
func TestJWKSHandlerFollowsKeys(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		rotate(t, dir, keys.RotateConfig{})
		handler := keys.Handler(loadKeys(t, dir))
		published := func() string {
			res := httptest.NewRecorder()
			handler.ServeHTTP(res, httptest.NewRequest(http.MethodGet, "/"+keys.JWKSPath, nil))
			return res.Body.String()
		}
		first := published()
		next := rotate(t, dir, keys.RotateConfig{}).Next
		<-time.After(3 * time.Second)
		if set := published(); strings.Contains(first, next) || !strings.Contains(set, next) || strings.Contains(set, `"d"`) {
			t.Errorf("published %s", set)
		}
	})
}
