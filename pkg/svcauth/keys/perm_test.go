package keys_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A private key file that other users can read or change is an error, which has the command that
// corrects the mode.
func TestKeyReadableByOthers(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o620, 0o602, 0o660, 0o666, 0o777, 0o444, 0o610} {
		t.Run(fmt.Sprintf("%04o", mode), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, dated := filepath.Join(dir, "key.pem"), filepath.Join(dir, "keys", "20250101T000000Z.pem")
			if err := os.Mkdir(filepath.Dir(dated), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, f := range []string{file, dated} {
				if err := generateKey(t, keys.EdDSA).Save(f); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(f, mode); err != nil {
					t.Fatal(err)
				}
			}
			link := filepath.Join(dir, "link.pem")
			if err := os.Symlink(file, link); err != nil {
				t.Fatal(err)
			}
			refused := func(file string, err error) {
				t.Helper()
				want := fmt.Sprintf("%s has mode %04o, so that other users have access to it: run chmod 600 %s", file, mode, file)
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want %q", err, want)
				}
			}
			_, err := keys.Load(file)
			refused(file, err)
			_, err = keys.Load(link)
			refused(link, err)
			_, err = keys.Watch(file, nil)
			refused(file, err)
			_, err = keys.Watch(filepath.Dir(dated), nil)
			refused(dated, err)
			_, err = keys.Rotate(filepath.Dir(dated), keys.RotateConfig{})
			refused(dated, err)
		})
	}
	for _, mode := range []os.FileMode{0o600, 0o400, 0o700} {
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := generateKey(t, keys.EdDSA).Save(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Load(file); err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

// A key that becomes readable by others while it is in use is logged, and stays in use.
func TestKeyBecomesReadable(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := svcauthtest.NewIssuer(t, "https://herald.service/")
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := h.Key.Save(file); err != nil {
			t.Fatal(err)
		}
		var log logBuffer
		files, err := keys.Watch(file, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * time.Second)
		if files.SigningKey().ID() != h.Key.ID() || !strings.Contains(log.String(), "has mode 0644") {
			t.Errorf("log %s", log.String())
		}
	})
}
