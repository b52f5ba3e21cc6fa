package keys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
)

// A device is a crypto.Signer that counts its calls, and that can be made to fail.
type device struct {
	key   crypto.Signer
	calls atomic.Int64
	sign  func() ([]byte, error) // instead of the key; may be nil
}

func (d *device) Public() crypto.PublicKey { return d.key.Public() }

func (d *device) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	d.calls.Add(1)
	if d.sign != nil {
		return d.sign()
	}
	return d.key.Sign(random, digest, opts)
}

func newDevice(t *testing.T, alg keys.Algorithm) (*device, *keys.Private) {
	t.Helper()
	d := &device{}
	var err error
	switch alg {
	case keys.EdDSA:
		_, d.key, err = ed25519.GenerateKey(rand.Reader)
	case keys.ES256:
		d.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case keys.RS256:
		d.key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.FromSigner(d)
	if err != nil {
		t.Fatal(err)
	}
	return d, key
}

// A key of FromSigner makes one call of its signer for each signature, and is published like other
// keys.
func TestFromSigner(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			d, key := newDevice(t, alg)
			for n := range int64(20) { // the numbers in signatures of ES256 differ in length
				signature, err := key.Sign(t.Context(), "signed")
				if err != nil {
					t.Fatal(err)
				}
				if err := key.Public().Verify("signed", signature); err != nil {
					t.Error(err)
				}
				if calls := d.calls.Load(); calls != n+1 {
					t.Errorf("%d calls for %d signatures", calls, n+1)
				}
			}
			data, err := keys.MarshalJWKS(key)
			if err != nil {
				t.Fatal(err)
			}
			set, skipped, err := keys.ParseJWKS(data)
			if err != nil || len(skipped) > 0 || set[key.ID()].Algorithm() != alg {
				t.Errorf("published %s: %v, %v", data, skipped, err)
			}
			if err := key.Save(filepath.Join(t.TempDir(), "key.pem")); err == nil || !strings.Contains(err.Error(), "not in memory") {
				t.Errorf("saving: %v", err)
			}
		})
	}
}

// A fault of the signer is an error that says what it is.
func TestFromSignerFaults(t *testing.T) {
	t.Parallel()
	outOfOrder := errors.New("out of order")
	for _, tt := range []struct {
		name string
		alg  keys.Algorithm
		sign func() ([]byte, error)
		want string
	}{
		{"error", keys.EdDSA, func() ([]byte, error) { return nil, outOfOrder }, "signing: out of order"},
		{"panic", keys.EdDSA, func() ([]byte, error) { panic("broken") }, "the signer panicked: broken"},
		{"empty signature", keys.EdDSA, func() ([]byte, error) { return nil, nil }, "something else than a signature"},
		{"garbage", keys.EdDSA, func() ([]byte, error) { return make([]byte, 64), nil }, "something else than a signature"},
		{"garbage of RSA", keys.RS256, func() ([]byte, error) { return make([]byte, 256), nil }, "something else than a signature"},
		{"no ASN.1", keys.ES256, func() ([]byte, error) { return make([]byte, 64), nil }, "something else than an ASN.1"},
		{"zeros", keys.ES256, func() ([]byte, error) { return []byte{0x30, 6, 2, 1, 0, 2, 1, 0}, nil }, "out of range"},
		{"another signature", keys.ES256, func() ([]byte, error) { return []byte{0x30, 6, 2, 1, 1, 2, 1, 1}, nil }, "something else than a signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, key := newDevice(t, tt.alg)
			d.sign = tt.sign
			if _, err := key.Sign(t.Context(), "signed"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			d.sign = nil
			if _, err := key.Sign(t.Context(), "signed"); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	if _, err := keys.FromSigner(nil); err == nil {
		t.Error("no error without a signer")
	}
	weak, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.FromSigner(&device{key: weak}); err == nil || !strings.Contains(err.Error(), "P-384") {
		t.Errorf("key on P-384: %v", err)
	}
}

// A call of a signer that hangs ends with an error after SignTimeout, or when the context is done.
// The number of calls that hang is bounded.
func TestFromSignerHangs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, key := newDevice(t, keys.EdDSA)
		release := make(chan struct{})
		d.sign = func() ([]byte, error) { <-release; return nil, errors.New("too late") }
		start := time.Now()
		_, err := key.Sign(t.Context(), "signed")
		if took := time.Since(start); took != keys.SignTimeout || err == nil || !strings.Contains(err.Error(), "not answered within 5s") {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := key.Sign(ctx, "signed"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != keys.SignTimeout+time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		for range 100 {
			go func() { _, _ = key.Sign(t.Context(), "signed") }()
		}
		<-time.After(time.Minute)
		if calls := d.calls.Load(); calls != 64 {
			t.Errorf("%d calls hang", calls)
		}
		if _, err := key.Sign(t.Context(), "signed"); err == nil || !strings.Contains(err.Error(), "64 earlier calls") {
			t.Errorf("one more: %v", err)
		}
		close(release)
		synctest.Wait()
		d.sign = nil
		if _, err := key.Sign(t.Context(), "signed"); err != nil {
			t.Errorf("once they have returned: %v", err)
		}
	})
}

// A key of FromSigner that is in memory can be saved.
func TestFromSignerInMemory(t *testing.T) {
	t.Parallel()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.FromSigner(ed)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Save(filepath.Join(t.TempDir(), "key.pem")); err != nil {
		t.Error(err)
	}
}
