package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth"
)

func TestKeygen(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"", "EdDSA", "ES256", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "shop.pem")
			args := []string{"keygen", "--out", file}
			if alg != "" {
				args = append(args, "--alg", alg)
			} else {
				alg = "EdDSA"
			}
			kid := strings.TrimSpace(succeed(t, args...))
			key, err := svcauth.LoadKey(file)
			if err != nil {
				t.Fatal(err)
			}
			if key.ID() != kid || string(key.Algorithm()) != alg {
				t.Errorf("printed %q for the key %q, %s", kid, key.ID(), key.Algorithm())
			}
			checkMode(t, file, 0o600)
			public, err := key.PublicPEM()
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, strings.TrimSuffix(file, ".pem")+".pub.pem"); got != string(public) {
				t.Errorf("the public key file holds %q", got)
			}
		})
	}
}

func TestKeygenJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	private, public := filepath.Join(dir, "key"), filepath.Join(dir, "other.pem")
	var got struct{ Kid, Alg, Private, Public string }
	if err := json.Unmarshal([]byte(succeed(t, "keygen", "--json", "--out", private, "--public", public)), &got); err != nil {
		t.Fatal(err)
	}
	key, err := svcauth.LoadKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if got.Kid != key.ID() || got.Alg != "EdDSA" || got.Private != private || got.Public != public {
		t.Errorf("%+v", got)
	}
}

func TestKeygenNeverOverwrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	private, public := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.pub.pem")
	succeed(t, "keygen", "--out", private)
	before := read(t, private) + read(t, public)
	execute(t, "", "keygen", "--out", private).mustFail(t, exitFailed, private)
	if read(t, private)+read(t, public) != before {
		t.Error("the second run changed a file")
	}
	fresh := filepath.Join(dir, "b.pem")
	execute(t, "", "keygen", "--out", fresh, "--public", public).mustFail(t, exitFailed, public)
	if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a key pair was left: %v", err)
	}
	if read(t, private)+read(t, public) != before {
		t.Error("the third run changed a file")
	}
}

func TestJWKS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var files, kids []string
	for _, alg := range []string{"EdDSA", "ES256"} {
		file := filepath.Join(dir, alg+".pem")
		kids = append(kids, strings.TrimSpace(succeed(t, "keygen", "--alg", alg, "--out", file)))
		files = append(files, file)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal([]byte(succeed(t, append([]string{"jwks"}, files...)...)), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || set.Keys[0]["kid"] != kids[0] || set.Keys[1]["kid"] != kids[1] {
		t.Errorf("%v, want the keys %v", set.Keys, kids)
	}
	for _, key := range set.Keys {
		if key["d"] != "" {
			t.Error("a private key is published")
		}
	}
	want := read(t, filepath.Join(dir, "EdDSA.pub.pem")) + read(t, filepath.Join(dir, "ES256.pub.pem"))
	if got := succeed(t, append([]string{"jwks", "--pem"}, files...)...); got != want {
		t.Errorf("--pem prints %q", got)
	}
	execute(t, "", "jwks", files[0], files[0]).mustFail(t, exitUsage, "the same key")
	execute(t, "", "jwks", filepath.Join(dir, "EdDSA.pub.pem")).mustFail(t, exitFailed, "EdDSA.pub.pem")
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
