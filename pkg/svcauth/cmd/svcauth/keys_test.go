package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
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
			key, err := keys.Load(file)
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
	key, err := keys.Load(private)
	if err != nil {
		t.Fatal(err)
	}
	if got.Kid != key.ID() || got.Alg != "EdDSA" || got.Private != private || got.Public != public {
		t.Errorf("%+v", got)
	}
}

func TestKeygenJWKS(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"EdDSA", "ES256", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			private, public, set := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.pub.pem"), filepath.Join(dir, "a.json")
			var got map[string]string
			args := []string{"keygen", "--json", "--alg", alg, "--out", private, "--jwks", set}
			if err := json.Unmarshal([]byte(succeed(t, args...)), &got); err != nil {
				t.Fatal(err)
			}
			if _, ok := got["public"]; ok || got["jwks"] != set {
				t.Errorf("%v", got)
			}
			checkMode(t, private, 0o600)
			if want := succeed(t, "jwks", private); read(t, set) != want {
				t.Errorf("the set is %q, want %q", read(t, set), want)
			}
			if _, err := os.Stat(public); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("PEM was written that nobody asked for: %v", err)
			}
		})
	}
}

func TestKeygenNeverOverwrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	private, public, set := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.pub.pem"), filepath.Join(dir, "a.json")
	succeed(t, "keygen", "--out", private, "--public", public, "--jwks", set)
	before := contents(t, dir)
	execute(t, "", "keygen", "--out", private).mustFail(t, exitFailed, private)
	fresh, freshPublic := filepath.Join(dir, "b.pem"), filepath.Join(dir, "b.pub.pem")
	execute(t, "", "keygen", "--out", fresh, "--public", public).mustFail(t, exitFailed, public)
	execute(t, "", "keygen", "--out", fresh, "--public", freshPublic, "--jwks", set).mustFail(t, exitFailed, set)
	if after := contents(t, dir); !maps.Equal(before, after) {
		t.Errorf("the files %v became %v", before, after)
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

func TestJWKSOfDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	execute(t, "", "jwks", dir).mustFail(t, exitFailed, "no key in "+dir)
	first := rotateDir(t, dir)
	second := rotateDir(t, dir)
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal([]byte(succeed(t, "jwks", dir)), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || set.Keys[0].Kid != first.Signing || set.Keys[1].Kid != second.Next {
		t.Errorf("%v, want %s and %s", set.Keys, first.Signing, second.Next)
	}
	entries, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil {
		t.Fatal(err)
	}
	execute(t, "", "jwks", dir, entries[1]).mustFail(t, exitUsage, "the same key")
}

func TestTokenFromDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	signing := rotateDir(t, dir).Signing
	rotateDir(t, dir)
	token := succeed(t, "token", "--key", dir, "--issuer", shop, "--subject", user21, herald)
	read, err := readToken(strings.TrimSpace(token), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if kid := textOf(read.header, "kid"); kid != signing {
		t.Errorf("signed by %s, want %s", kid, signing)
	}
}

func rotateDir(tb testing.TB, dir string) *keys.Rotation {
	tb.Helper()
	rotation, err := keys.Rotate(dir, keys.RotateConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	return rotation
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
