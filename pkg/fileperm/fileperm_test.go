//go:build unix

package fileperm_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"example.com/micromachine/pkg/fileperm"
)

// The group may read a secret of root if the service runs as another user. No one else may read it.
func TestSecretOfRoot(t *testing.T) { //nolint:paralleltest // changes the user of the process
	if os.Geteuid() != 0 {
		t.Skip("only root can create a file of root and change its user")
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode][2]bool{ // accepted: as root, as another user
		0o400: {true, true}, 0o600: {true, true}, 0o440: {false, true}, 0o640: {false, true},
		0o460: {false, false}, 0o660: {false, false}, 0o444: {false, false}, 0o604: {false, false}, 0o641: {false, false},
	} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, uid := range []int{0, 65534} {
			if err := syscall.Seteuid(uid); err != nil {
				t.Fatal(err)
			}
			err := fileperm.Secret(file, info)
			if restored := syscall.Seteuid(0); restored != nil {
				t.Fatal(restored)
			}
			if (err == nil) != want[i] {
				t.Errorf("mode %04o, as user %d: %v", mode, uid, err)
			}
		}
	}
}
