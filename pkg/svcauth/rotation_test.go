package svcauth_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

var algorithms = []keys.Algorithm{keys.EdDSA, keys.ES256, keys.RS256}

func generateKey(tb testing.TB, alg keys.Algorithm) *keys.Private {
	tb.Helper()
	key, err := keys.Generate(alg)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// rotate runs one step of the rotation of a key directory.
func rotate(t *testing.T, dir string, config keys.RotateConfig) {
	t.Helper()
	if _, err := keys.Rotate(dir, config); err != nil {
		t.Fatal(err)
	}
}

func loadKeys(t *testing.T, path string) *keys.Files {
	t.Helper()
	files, err := keys.Watch(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A signer without a key is an error, in whatever way the key is missing.
func TestSignerWithoutKey(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]keys.Signing{"nil": nil, "nil key": (*keys.Private)(nil)} {
		if _, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: herald, Key: key}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Under load, during three rotations by two replicas that share a key directory, no call is
// refused: neither by a receiver that fetches the key set from the start, nor by one that is
// started later.
func TestRotationUnderLoad(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		rotate(t, dir, keys.RotateConfig{})
		replicas := []*keys.Files{loadKeys(t, dir), loadKeys(t, dir)}
		n := &network{}
		var served atomic.Int64
		n.setAnswer(func(r *http.Request) (*http.Response, error) { // by the replicas in turn
			replica := served.Add(1) % 2
			res := httptest.NewRecorder()
			keys.Handler(replicas[replica]).ServeHTTP(res, r)
			return res.Result(), nil
		})
		file := filepath.Join(t.TempDir(), "trust.yaml")
		writeFile(t, file, []byte("issuers: [{issuer: https://herald.service/, keys: discover, allow: [GET /user/*]}]"))
		receivers := []*runningVerifier{n.startVerifier(t, file)}
		synctest.Wait()
		signed := map[string]int{}
		call := func() {
			for i, replica := range replicas {
				signer := newSigner(t, func(c *svcauth.SignerConfig) { c.Key, c.Lifetime = replica, svcauth.MaxLifetime })
				for _, receiver := range receivers {
					req := httptest.NewRequest(http.MethodGet, fmt.Sprintf("%suser/%d/", census, i), nil)
					if err := signer.Sign(req, census, herald); err != nil {
						t.Fatal(err)
					}
					// The request once more, just before its token expires.
					time.AfterFunc(svcauth.MaxLifetime-time.Second, func() {
						if _, err := receiver.verifier.Verify(req, 0); err != nil {
							t.Errorf("refused later: %v", err)
						}
					})
					passed, err := receiver.verifier.Verify(req, 0)
					if err != nil {
						t.Fatalf("refused: %v", err)
					}
					caller, _ := svcauth.CallerFrom(passed.Context())
					signed[caller.KeyID]++
				}
			}
		}
		const hours = 4
		for minute := range hours * 60 {
			if minute%7 == 0 { // as by cron, on both replicas
				for range replicas {
					rotate(t, dir, keys.RotateConfig{MinAge: time.Hour})
				}
			}
			if minute == 30 {
				receivers = append(receivers, n.startVerifier(t, file))
				synctest.Wait()
			}
			for range 4 {
				call()
				<-time.After(15 * time.Second)
			}
		}
		<-time.After(svcauth.MaxLifetime)
		if len(signed) < 3 {
			t.Errorf("%d keys signed in %d hours: %v", len(signed), hours, signed)
		}
	})
}
