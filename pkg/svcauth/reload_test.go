package svcauth_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// A runningVerifier is a verifier, its log, and its trust file, which the test changes.
type runningVerifier struct {
	file     string
	verifier *svcauth.Verifier
	log      logBuffer
}

// inBubble runs a test in a bubble of synctest, in which waiting takes no time.
func inBubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

func startVerifier(t *testing.T, file string) *runningVerifier {
	t.Helper()
	r := &runningVerifier{file: file}
	var err error
	r.verifier, err = svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, TrustFile: file, Replay: svcauth.NewMemoryReplay(),
		Logger: slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.verifier.Close)
	return r
}

// awaitReload waits until the verifier has read its changed files.
func (r *runningVerifier) awaitReload() {
	<-time.After(3 * time.Second)
	synctest.Wait()
}

// status returns the status that the verifier answers to a call by issuer.
func (r *runningVerifier) status(t *testing.T, issuer *svcauthtest.Issuer) int {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, census+"user/42/", nil)
	issuer.Sign(t, req, census, user21)
	res := httptest.NewRecorder()
	r.verifier.Require(0)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(res, req)
	return res.Code
}

// expect checks the status that the verifier answers to a call by each issuer.
func (r *runningVerifier) expect(t *testing.T, status int, issuers ...*svcauthtest.Issuer) {
	t.Helper()
	for _, issuer := range issuers {
		if got := r.status(t, issuer); got != status {
			t.Errorf("status %d for %s, want %d", got, issuer.URL, status)
		}
	}
}

// expectLogged checks how many times a text has been logged.
func (r *runningVerifier) expectLogged(t *testing.T, times int, text string) {
	t.Helper()
	if got := strings.Count(r.log.String(), text); got != times {
		t.Errorf("%q logged %d times, want %d:\n%s", text, got, times, r.log.String())
	}
}

// writeTrust writes a trust file that allows the issuers to read users, and a key file for each in
// the same directory.
func writeTrust(t *testing.T, file string, issuers ...*svcauthtest.Issuer) {
	t.Helper()
	text := "issuers:\n"
	for _, issuer := range issuers {
		name := strings.TrimSuffix(strings.TrimPrefix(issuer.URL, "https://"), "/") + ".pem"
		public, err := issuer.Key.PublicPEM()
		if err != nil {
			t.Fatal(err)
		}
		replaceFile(t, filepath.Join(filepath.Dir(file), name), public)
		text += "  - issuer: " + issuer.URL + "\n    keys: " + name +
			"\n    allow: [GET /user/*]\n    act_for: [https://census.service/user/*]\n"
	}
	replaceFile(t, file, []byte(text))
}

// replaceFile replaces a file atomically.
func replaceFile(t *testing.T, file string, data []byte) {
	t.Helper()
	writeFile(t, file+".new", data)
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestReloadChange(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		file := filepath.Join(t.TempDir(), "trust.yaml")
		writeTrust(t, file, h)
		r := startVerifier(t, file)
		r.expect(t, http.StatusOK, h)
		r.expect(t, http.StatusUnauthorized, s)

		writeTrust(t, file, h, s)
		r.awaitReload()
		r.expect(t, http.StatusOK, h, s)
		writeTrust(t, file, s)
		r.awaitReload()
		r.expect(t, http.StatusUnauthorized, h)
		r.expect(t, http.StatusOK, s)
		r.awaitReload()
		r.expectLogged(t, 2, "trust file is in force")
	})
}

func TestReloadBadEdit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		file := filepath.Join(t.TempDir(), "trust.yaml")
		writeTrust(t, file, h)
		r := startVerifier(t, file)

		replaceFile(t, file, []byte("issuers:\n  - isuer: https://shop.service/\n"))
		r.awaitReload()
		r.awaitReload()
		r.expect(t, http.StatusOK, h)
		r.expectLogged(t, 1, "trust file is bad, the one before stays in force")
		r.expectLogged(t, 1, file+`:2: unknown key`)

		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		r.awaitReload()
		r.expect(t, http.StatusOK, h)
		r.expectLogged(t, 2, "trust file is bad, the one before stays in force")

		writeTrust(t, file, h) // as it was
		r.awaitReload()
		r.expectLogged(t, 1, "trust file is in force")
		writeTrust(t, file, s)
		r.awaitReload()
		r.expect(t, http.StatusOK, s)
		r.expect(t, http.StatusUnauthorized, h)
	})
}

// A key file that becomes bad is a bad edit too. A good one is loaded although the trust file is
// the same.
func TestReloadKeyFile(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		before, after := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, herald)
		file := filepath.Join(t.TempDir(), "trust.yaml")
		key := filepath.Join(filepath.Dir(file), "herald.service.pem")
		writeTrust(t, file, before)
		r := startVerifier(t, file)
		r.expect(t, http.StatusOK, before)
		r.expect(t, http.StatusUnauthorized, after)

		replaceFile(t, key, []byte("-----BEGIN"))
		r.awaitReload()
		r.expect(t, http.StatusOK, before)
		r.expectLogged(t, 1, "herald.service.pem: neither PEM public keys nor a JWK Set")

		public, err := after.Key.PublicPEM()
		if err != nil {
			t.Fatal(err)
		}
		replaceFile(t, key, public)
		r.awaitReload()
		r.expect(t, http.StatusUnauthorized, before)
		r.expect(t, http.StatusOK, after)
	})
}

// Kubernetes replaces a directory of files by renaming a symbolic link to it.
func TestReloadSymlinkSwap(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		before, after := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, herald)
		dir := t.TempDir()
		link := func(target string) {
			t.Helper()
			if err := os.Symlink(target, filepath.Join(dir, "new")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "..data")); err != nil {
				t.Fatal(err)
			}
		}
		for name, issuer := range map[string]*svcauthtest.Issuer{"1": before, "2": after} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			writeTrust(t, filepath.Join(dir, name, "trust.yaml"), issuer)
		}
		link("1")
		for _, name := range []string{"trust.yaml", "herald.service.pem"} {
			if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		r := startVerifier(t, filepath.Join(dir, "trust.yaml"))
		r.expect(t, http.StatusOK, before)
		r.expect(t, http.StatusUnauthorized, after)
		link("2")
		r.awaitReload()
		r.expect(t, http.StatusUnauthorized, before)
		r.expect(t, http.StatusOK, after)
	})
}

// A trust file that is not a regular file, or is too large, is a bad edit.
func TestReloadIrregularFile(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := svcauthtest.NewIssuer(t, herald)
		file := filepath.Join(t.TempDir(), "trust.yaml")
		writeTrust(t, file, h)
		r := startVerifier(t, file)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(file, 0o600); err != nil {
			t.Fatal(err)
		}
		r.awaitReload()
		r.expect(t, http.StatusOK, h)
		r.expectLogged(t, 1, "is not a regular file")
		replaceFile(t, file, bytes.Repeat([]byte("# much\n"), 1<<18))
		r.awaitReload()
		r.expect(t, http.StatusOK, h)
		r.expectLogged(t, 1, "at most 1048576 are read")
	})
}

// A closed verifier still verifies calls, by the trust policy that was in force.
func TestReloadAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		file := filepath.Join(t.TempDir(), "trust.yaml")
		writeTrust(t, file, h)
		r := startVerifier(t, file)
		r.verifier.Close()
		writeTrust(t, file, s)
		r.awaitReload()
		r.expect(t, http.StatusOK, h)
		r.expect(t, http.StatusUnauthorized, s)
	})
}

// addTrustText appends entries to a trust file.
func addTrustText(t *testing.T, file, entries string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, file, append(text, entries...))
}

// A trust file that is being written is loaded once its content has been stable, and never half
// written.
func TestReloadHalfWritten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h, s := svcauthtest.NewIssuer(t, herald), svcauthtest.NewIssuer(t, shop)
		file := filepath.Join(t.TempDir(), "trust.yaml")
		writeTrust(t, file, h, s)
		r := startVerifier(t, file)
		<-time.After(1990 * time.Millisecond)
		writeTrust(t, file, h) // incomplete, just before the verifier reads it
		<-time.After(60 * time.Millisecond)
		writeTrust(t, file, h, s, svcauthtest.NewIssuer(t, another))
		<-time.After(time.Second)
		r.expect(t, http.StatusOK, h, s)
		r.expectLogged(t, 0, "trust file is in force")
		r.awaitReload()
		r.expect(t, http.StatusOK, h, s)
		r.expectLogged(t, 1, "issuers=3")
	})
}

// While the trust file changes under load, each call is decided by one complete version of it. A
// call that only a mixture of two versions would allow is always refused. A call that both versions
// allow is always accepted.
func TestReloadUnderLoad(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := svcauthtest.NewIssuer(t, herald)
		file := filepath.Join(t.TempDir(), "trust.yaml")
		writeTrust(t, file, h)
		writeVersion := func(n int) {
			replaceFile(t, file, fmt.Appendf(nil, "issuers: [{issuer: %s, keys: herald.service.pem, allow: [GET /%d/*, GET /user/*], "+
				"act_for: ['https://census.service/%d/*', 'https://census.service/user/*']}]", herald, n, n))
		}
		writeVersion(1)
		r := startVerifier(t, file)
		status := func(path string, subject svcauth.Subject) int {
			req := httptest.NewRequest(http.MethodGet, census+path, nil)
			h.Sign(t, req, census, subject)
			return statusOf(r.verifier, req)
		}
		var load sync.WaitGroup
		ended := make(chan struct{})
		passed := [3]atomic.Int32{}
		for range 3 {
			load.Go(func() {
				for {
					select {
					case <-ended:
						return
					case <-time.After(100 * time.Millisecond):
					}
					for n := 1; n <= 2; n++ {
						path, own, other := fmt.Sprintf("%d/x/", n), fmt.Sprintf("%s%d/x/", census, n), fmt.Sprintf("%s%d/x/", census, 3-n)
						if status(path, svcauth.Subject(own)) == http.StatusOK {
							passed[n].Add(1)
						}
						if got := status(path, svcauth.Subject(other)); got != http.StatusForbidden {
							t.Errorf("status %d by a mixture of both", got)
						}
					}
					if got := status("user/42/", user21); got != http.StatusOK {
						t.Errorf("status %d for what both allow", got)
					}
					r.verifier.Stats()
				}
			})
		}
		for n := range 5 {
			writeVersion(n%2 + 1)
			<-time.After(3 * time.Second)
		}
		close(ended)
		load.Wait()
		if passed[1].Load() == 0 || passed[2].Load() == 0 {
			t.Error("one of the two was never in force")
		}
	})
}
