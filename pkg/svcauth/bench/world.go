package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// The caller, the receiver, the subject and the URL of the calls.
const (
	caller   = "https://herald.service/"
	audience = "https://census.service/"
	subject  = "https://census.service/user/21/"
	userURL  = "https://census.service/user/42/"
)

const trustYAML = `issuers:
  - issuer: https://herald.service/
    keys: herald.pub.pem
    allow: [GET /user/*]
    act_for: [https://census.service/user/*]
  - issuer: https://census.service/
    sessions: true
    keys: census.pub.pem
`

// A world has the key of the caller in all forms that the measurements use, and the files of a
// receiver that trusts it.
type world struct {
	dir     string
	private ed25519.PrivateKey
	key     *keys.Private // the same
	signer  *svcauth.Signer
	users   *svcauth.Signer // signs the session tokens of the receiver's users
}

func newWorld() (_ *world, err error) {
	w := &world{}
	if w.dir, err = os.MkdirTemp("", "svcauth-bench-"); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := w.makeKey(); err != nil {
		return nil, err
	}
	usersKey, err := keys.Generate(keys.EdDSA)
	if err != nil {
		return nil, err
	}
	if w.signer, err = w.newSigner(svcauth.SignerConfig{}); err != nil {
		return nil, err
	}
	if w.users, err = w.newSigner(svcauth.SignerConfig{Issuer: audience, Key: usersKey}); err != nil {
		return nil, err
	}
	err = errors.Join(
		w.writePublic("herald.pub.pem", w.key), w.writePublic("census.pub.pem", usersKey),
		os.WriteFile(w.trustFile(), []byte(trustYAML), 0o600))
	return w, err
}

func (w *world) close() { _ = os.RemoveAll(w.dir) }

func (w *world) trustFile() string { return filepath.Join(w.dir, "trust.yaml") }

// makeKey makes the key without the library, which does not return the bytes that the peers need.
func (w *world) makeKey() (err error) {
	if _, w.private, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return fmt.Errorf("generating key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(w.private)
	if err != nil {
		return fmt.Errorf("encoding key: %w", err)
	}
	file := filepath.Join(w.dir, "herald.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("writing key: %w", err)
	}
	w.key, err = keys.Load(file)
	return err
}

func (w *world) writePublic(name string, key *keys.Private) error {
	data, err := key.PublicPEM()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, name), data, 0o600)
}

func (w *world) public() ed25519.PublicKey {
	return ed25519.PublicKey(w.private[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

// newSigner returns a signer whose tokens stay valid during the measurements. Fields that config
// does not set are those of the caller.
func (w *world) newSigner(config svcauth.SignerConfig) (*svcauth.Signer, error) {
	if config.Issuer == "" {
		config.Issuer = caller
	}
	if config.Key == nil {
		config.Key = w.key
	}
	config.Lifetime = svcauth.MaxLifetime
	return svcauth.NewSigner(config)
}

// verifier returns a new verifier of the receiver, which has cached no token.
func (w *world) verifier() (*svcauth.Verifier, error) {
	return svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: audience, TrustFile: w.trustFile(), Replay: svcauth.NewMemoryReplay(),
		Logger: slog.New(slog.DiscardHandler),
	})
}

// readTokens signs n distinct tokens on all CPUs. The i-th token is for reading url(i).
func (w *world) readTokens(n int, url func(i int) string) ([]string, error) {
	tokens := make([]string, n)
	workers := runtime.GOMAXPROCS(0)
	var group errgroup.Group
	for worker := range workers {
		group.Go(func() (err error) {
			for i := worker; i < n && err == nil; i += workers {
				tokens[i], err = readToken(w.signer, audience, url(i))
			}
			return err
		})
	}
	return tokens, group.Wait()
}

func readToken(signer *svcauth.Signer, audience, url string) (string, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("making request: %w", err)
	}
	if err := signer.Sign(r, audience, subject); err != nil {
		return "", err
	}
	return r.Header.Get(svcauth.Header), nil
}
