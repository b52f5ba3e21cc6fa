package devca_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/devca"
)

// makeFiles calls devca.Make and returns what it did with each file, by base name, with the reason
// after a colon.
func makeFiles(tb testing.TB, dir string, hosts ...string) map[string]string {
	tb.Helper()
	files, err := devca.Make(devca.Config{Dir: dir, Hosts: hosts})
	if err != nil {
		tb.Fatal(err)
	}
	actions := map[string]string{}
	for _, f := range files {
		actions[filepath.Base(f.Name)] = string(f.Action)
		if f.Reason != "" {
			actions[filepath.Base(f.Name)] += ": " + f.Reason
		}
	}
	return actions
}

// makeYearsAgo makes the files that Make would have made some years ago.
func makeYearsAgo(tb testing.TB, dir string, years int, hosts ...string) {
	tb.Helper()
	then := func() time.Time { return time.Now().AddDate(-years, 0, 0) }
	if _, err := devca.Make(devca.Config{Dir: dir, Hosts: hosts, Now: then}); err != nil {
		tb.Fatal(err)
	}
}

// wantError checks that Make fails with an error that contains want.
func wantError(tb testing.TB, dir, host, want string) {
	tb.Helper()
	_, err := devca.Make(devca.Config{Dir: dir, Hosts: []string{host}})
	if err == nil || !strings.Contains(err.Error(), want) {
		tb.Errorf("error %v, want %q", err, want)
	}
}

// verifyHost checks that the certificate of host convinces a client that trusts ca.pem.
func verifyHost(tb testing.TB, dir, host string) *x509.Certificate {
	tb.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(read(tb, filepath.Join(dir, "ca.pem"))))
	block, _ := pem.Decode([]byte(read(tb, filepath.Join(dir, host+".pem"))))
	if block == nil {
		tb.Fatalf("no certificate for %s", host)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
		tb.Error(err)
	}
	return cert
}

func TestMake(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "tls")
	makeFiles(t, dir, "census.service", "127.0.0.1", "::1")
	for _, host := range []string{"census.service", "127.0.0.1", "::1"} {
		cert := verifyHost(t, dir, host)
		if days := time.Until(cert.NotAfter).Hours() / 24; days < 360 || days > 366 {
			t.Errorf("the certificate of %s is valid for %.0f days", host, days)
		}
		if cert.VerifyHostname("herald.service") == nil {
			t.Errorf("the certificate of %s serves for another host", host)
		}
		checkMode(t, filepath.Join(dir, host+"-key.pem"), 0o600)
		checkMode(t, filepath.Join(dir, host+".pem"), 0o644)
	}
	checkMode(t, filepath.Join(dir, "ca-key.pem"), 0o600)
}

func TestMakeKeepsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeFiles(t, dir, "census.service")
	before := contents(t, dir)
	actions := makeFiles(t, dir, "census.service", "herald.service")
	for name, want := range map[string]string{
		"ca.pem": "kept", "ca-key.pem": "kept", "census.service.pem": "kept", "census.service-key.pem": "kept",
		"herald.service.pem": "made", "herald.service-key.pem": "made",
	} {
		if actions[name] != want {
			t.Errorf("%s: %q, want %q", name, actions[name], want)
		}
	}
	after := contents(t, dir)
	for name, data := range before {
		if after[name] != data {
			t.Errorf("%s was changed", name)
		}
	}
	if len(after) != 6 {
		t.Errorf("%d files, want 6", len(after))
	}
	verifyHost(t, dir, "herald.service")
}

func TestMakeReplacesCertificates(t *testing.T) {
	t.Parallel()
	madeYearsAgo := func(years int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			makeYearsAgo(t, dir, years, "a.service")
		}
	}
	copyPair := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			makeFiles(t, dir, "a.service", "b.service")
			for _, suffix := range []string{".pem", "-key.pem"} {
				if err := os.WriteFile(filepath.Join(dir, to+suffix), []byte(read(t, filepath.Join(dir, from+suffix))), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	overwrite := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			makeFiles(t, dir, "a.service")
			other := t.TempDir()
			makeFiles(t, other, "a.service")
			if err := os.WriteFile(filepath.Join(dir, name), []byte(read(t, filepath.Join(other, name))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		prepare func(*testing.T, string)
		want    map[string]string
	}{
		"expired":           {madeYearsAgo(2), map[string]string{"ca.pem": "kept", "a.service.pem": "replaced: it expired on "}},
		"expired authority": {madeYearsAgo(11), map[string]string{"ca.pem": "replaced: it expired on ", "a.service.pem": "replaced: it expired on "}},
		"foreign":           {overwrite("a.service.pem"), map[string]string{"ca.pem": "kept", "a.service.pem": "replaced: it does not match the key in "}},
		"other key":         {overwrite("a.service-key.pem"), map[string]string{"ca.pem": "kept", "a.service.pem": "replaced: it does not match the key in "}},
		"other authority":   {overwrite("ca.pem"), map[string]string{"ca.pem": "replaced: it does not match the key in ", "a.service.pem": "kept"}},
		"no authority":      {copyPair("a.service", "ca"), map[string]string{"ca.pem": "replaced: it is not a CA certificate", "a.service.pem": "replaced: it is not signed by "}},
		"other host":        {copyPair("b.service", "a.service"), map[string]string{"ca.pem": "kept", "a.service.pem": "replaced: it is not for a.service"}},
		"other signer":      {overwrite("ca-key.pem"), map[string]string{"ca.pem": "replaced: ", "a.service.pem": "replaced: it is not signed by "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			test.prepare(t, dir)
			keys := read(t, filepath.Join(dir, "ca-key.pem")) + read(t, filepath.Join(dir, "a.service-key.pem"))
			actions := makeFiles(t, dir, "a.service")
			for file, want := range test.want {
				if !strings.HasPrefix(actions[file], want) {
					t.Errorf("%s: %q, want %q", file, actions[file], want)
				}
			}
			if read(t, filepath.Join(dir, "ca-key.pem"))+read(t, filepath.Join(dir, "a.service-key.pem")) != keys {
				t.Error("a private key was changed")
			}
			verifyHost(t, dir, "a.service")
		})
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	t.Run("authority without its key", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		makeFiles(t, dir, "a.service")
		if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
			t.Fatal(err)
		}
		wantError(t, dir, "b.service", "put the key back")
	})
	for _, name := range []string{"ca.pem", "ca-key.pem", "a.service.pem", "a.service-key.pem"} {
		t.Run("something else in "+name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			makeFiles(t, dir, "a.service")
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte("my notes"), 0o600); err != nil {
				t.Fatal(err)
			}
			wantError(t, dir, "a.service", file)
			if read(t, file) != "my notes" {
				t.Error("it was overwritten")
			}
		})
	}
	for _, host := range []string{"", "ca", "a-key", "../up", "a/b", "*.service", "A.service", "a..b", "-a", "a b", "0:0::1", strings.Repeat("a", 64)} {
		t.Run("host "+host, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "new")
			wantError(t, dir, host, host)
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Error("something was made")
			}
		})
	}
}

// A key that exists is used only if no other user can have put it there or read it: whoever has the
// key can issue certificates that all clients of the authority accept.
func TestMakeRefusesPlantedKeys(t *testing.T) {
	t.Parallel()
	chmod := func(name string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	giveAway := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			if err := os.Lchown(filepath.Join(dir, name), 65534, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			file := filepath.Join(dir, name)
			if err := errors.Join(os.Rename(file, file+".real"), os.Symlink(file+".real", file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		plant func(*testing.T, string)
		want  string // what follows the directory in the error
	}{
		"authority's key, readable by all":        {chmod("ca-key.pem", 0o644), "/ca-key.pem has mode 0644"},
		"authority's key, readable by the group":  {chmod("ca-key.pem", 0o640), "/ca-key.pem has mode 0640"},
		"authority's key, writable by all":        {chmod("ca-key.pem", 0o602), "/ca-key.pem has mode 0602"},
		"host's key, readable by all":             {chmod("a.service-key.pem", 0o604), "/a.service-key.pem has mode 0604"},
		"directory, writable by all":              {chmod("", 0o777), " has mode 0777"},
		"directory, writable by all, sticky":      {chmod("", os.ModeSticky|0o777), " has mode 0777"},
		"directory, writable by the group":        {chmod("", 0o770), " has mode 0770"},
		"authority's key without its certificate": {remove("ca.pem"), "/ca-key.pem is there and"},
		"host's key without its certificate":      {remove("a.service.pem"), "/a.service-key.pem is there and"},
		"authority's key that is a link":          {link("ca-key.pem"), "/ca-key.pem is not a regular file"},
		"host's key that is a link":               {link("a.service-key.pem"), "/a.service-key.pem is not a regular file"},
		"authority's certificate that is a link":  {link("ca.pem"), "/ca.pem is not a regular file"},
		"authority's key, another user's":         {giveAway("ca-key.pem"), "/ca-key.pem belongs to another user"},
		"host's key, another user's":              {giveAway("a.service-key.pem"), "/a.service-key.pem belongs to another user"},
		"directory, another user's":               {giveAway(""), " belongs to another user"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "tls")
			makeFiles(t, dir, "a.service")
			test.plant(t, dir)
			before := contents(t, dir)
			wantError(t, dir, "a.service", dir+test.want)
			if after := contents(t, dir); !maps.Equal(before, after) {
				t.Error("something was changed")
			}
		})
	}
}

// A certificate file that holds a key too is not replaced.
func TestMakeReplacesNoKey(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ca.pem", "a.service.pem"} {
		dir := t.TempDir()
		makeYearsAgo(t, dir, 11, "a.service") // so that both certificates have expired and are to be replaced
		file := filepath.Join(dir, name)
		whole := read(t, file) + read(t, strings.TrimSuffix(file, ".pem")+"-key.pem")
		if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		wantError(t, dir, "a.service", file+" has more in it than one certificate")
		if read(t, file) != whole {
			t.Errorf("%s was replaced", name)
		}
	}
}

func contents(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		files[e.Name()] = read(tb, filepath.Join(dir, e.Name()))
	}
	return files
}

func read(tb testing.TB, file string) string {
	tb.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

func checkMode(tb testing.TB, file string, want fs.FileMode) {
	tb.Helper()
	info, err := os.Stat(file)
	if err != nil {
		tb.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		tb.Errorf("%s has mode %v, want %v", file, got, want)
	}
}
