package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
)

// rotateOnce runs rotate --json.
func rotateOnce(tb testing.TB, args ...string) rotateReport {
	tb.Helper()
	var report rotateReport
	if err := json.Unmarshal([]byte(succeed(tb, append([]string{"rotate", "--json"}, args...)...)), &report); err != nil {
		tb.Fatal(err)
	}
	return report
}

// states returns the states of the report's keys, in their order.
func (r rotateReport) states() string {
	var states []string
	for _, k := range r.Keys {
		states = append(states, k.State)
	}
	return strings.Join(states, " ")
}

func TestRotateText(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	for run, wants := range [][]string{
		{"made the key ", ", which signs at once\n", "   signs now   " + dir + "/"},
		{"made the key ", ", which signs next\n", "   signs now  ", "   signs next, from ", " UTC (in ", ")   " + dir + "/"},
		{"nothing to do\n", "   signs now  ", "   signs next, from "},
	} {
		text := succeed(t, "rotate", dir)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("run %d lacks %q:\n%s", run, want, text)
			}
		}
		if run < 2 && strings.Contains(text, "nothing to do") {
			t.Errorf("run %d did nothing:\n%s", run, text)
		}
	}
	checkMode(t, dir, 0o700)
	for name := range contents(t, dir) {
		checkMode(t, filepath.Join(dir, name), 0o600)
	}
}

func TestRotateJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := rotateOnce(t, dir)
	if first.states() != "signing" || first.Added != first.Keys[0].ID || len(first.Removed) != 0 {
		t.Errorf("first run: %+v", first)
	}
	second := rotateOnce(t, "--alg", "ES256", "--ahead", "1h", dir)
	if second.states() != "signing next" || second.Added != second.Keys[1].ID || second.Keys[0].ID != first.Added {
		t.Fatalf("second run: %+v", second)
	}
	if wait := time.Until(*second.Keys[1].From); wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("the next key signs in %v", wait)
	}
	for _, k := range second.Keys {
		key, err := keys.Load(k.File)
		if err != nil {
			t.Fatal(err)
		}
		if key.ID() != k.ID {
			t.Errorf("%s is the file of %s", k.File, key.ID())
		}
	}
	if third := rotateOnce(t, dir); third.states() != "signing next" || third.Added != "" || len(third.Removed) != 0 {
		t.Errorf("third run: %+v", third)
	}
}

// oldKey adds a key to dir that has signed for a while.
func oldKey(tb testing.TB, dir string, ago time.Duration) string {
	tb.Helper()
	key, err := keys.Generate(keys.RS256)
	if err != nil {
		tb.Fatal(err)
	}
	if err := key.Save(filepath.Join(dir, time.Now().Add(-ago).UTC().Format("20060102T150405Z.pem"))); err != nil {
		tb.Fatal(err)
	}
	return key.ID()
}

func TestRotateRetires(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	oldest, old, signing := oldKey(t, dir, 72*time.Hour), oldKey(t, dir, 48*time.Hour), oldKey(t, dir, time.Hour)
	young := rotateOnce(t, "--min-age", "2h", "--keep", "2h", dir)
	if young.states() != "retiring signing" || !slices.Equal(young.Removed, []string{oldest}) || young.Keys[0].ID != old {
		t.Errorf("%+v", young)
	}
	text := succeed(t, "rotate", "--min-age", "30m", dir)
	for _, want := range []string{"made the key ", "deleted the key " + old, signing + "   signs now"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}

func TestRotatePublishes(t *testing.T) {
	t.Parallel()
	dir, file := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "shop.jwks.json")
	for range 3 {
		report := rotateOnce(t, "--jwks", file, dir)
		if want := succeed(t, "jwks", dir); read(t, file) != want || report.JWKS != file {
			t.Errorf("the file has %q, want %q", read(t, file), want)
		}
		checkMode(t, file, 0o644)
	}
	if files := contents(t, filepath.Dir(file)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
	if text := succeed(t, "rotate", "--jwks", file, dir); !strings.Contains(text, "wrote the public keys to "+file+"\n") {
		t.Error(text)
	}
}

// A key that cannot be published must not be made.
func TestRotateCannotPublish(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rotateOnce(t, dir)
	before := contents(t, dir)
	private := filepath.Join(t.TempDir(), "private.pem")
	succeed(t, "keygen", "--out", private)
	key := read(t, private)
	for file, want := range map[string]string{
		private:                                  "is not a JWK Set, and is not replaced",
		filepath.Join(t.TempDir(), "no", "such"): "writing key set: ",
		t.TempDir():                              "reading key set: ",
	} {
		execute(t, "", "rotate", "--jwks", file, dir).mustFail(t, exitFailed, want)
	}
	if len(contents(t, dir)) != len(before) || read(t, private) != key {
		t.Error("something was changed all the same")
	}
}

// The key set replaces a JWK Set of public keys alone, because any other file could be a key.
func TestRotateReplacesNoKey(t *testing.T) {
	t.Parallel()
	const public = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	private := filepath.Join(t.TempDir(), "private.pem")
	succeed(t, "keygen", "--out", private)
	for name, content := range map[string]string{
		"private PEM":              read(t, private),
		"public PEM":               read(t, strings.TrimSuffix(private, ".pem")+".pub.pem"),
		"private JWK Set":          `{"keys":[{` + public + `,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
		"one private of two":       `{"keys":[{` + public + `},{` + public + `,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
		"member in capitals":       `{"keys":[{` + public + `,"D":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
		"member escaped":           `{"keys":[{` + public + `,"\u0064":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
		"symmetric key":            `{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0"}]}`,
		"key of an unknown kind":   `{"keys":[{"kty":"AKP","alg":"ML-DSA-44","priv":"AAAA"}]}`,
		"key with an unknown name": `{"keys":[{` + public + `,"seed":"AAAA"}]}`,
		"keys twice":               `{"keys":[{` + public + `,"d":"AA"}],"keys":[{` + public + `}]}`,
		"key beside the set":       `{"keys":[{` + public + `}],"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}`,
		"private JWK":              `{` + public + `,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}`,
		"a key that is a text":     `{"keys":["c2VjcmV0c2VjcmV0c2VjcmV0"]}`,
		"set and more":             `{"keys":[]} c2VjcmV0`,
		"empty file":               "",
		"other text":               "my notes",
		"large":                    `{"keys":[]}` + strings.Repeat(" ", 300<<10),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, file := t.TempDir(), filepath.Join(t.TempDir(), "shop.jwks.json")
			writeText(t, file, content)
			r := execute(t, "", "rotate", "--jwks", file, dir)
			r.mustFail(t, exitFailed, "not replaced")
			if !strings.Contains(r.err, file) || strings.Contains(r.err, "nWGxne") {
				t.Errorf("stderr %q", r.err)
			}
			if read(t, file) != content || len(contents(t, dir)) > 0 {
				t.Error("something was changed")
			}
		})
	}
}

func writeText(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// A link is not replaced, wherever it leads, and neither is a directory or a device.
func TestRotateReplacesNoLink(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "private.pem")
	succeed(t, "keygen", "--out", target)
	set := filepath.Join(t.TempDir(), "set.json")
	writeText(t, set, `{"keys":[]}`)
	for name, to := range map[string]string{"key": target, "set": set, "nothing": filepath.Join(t.TempDir(), "none"), "directory": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			link := filepath.Join(t.TempDir(), "shop.jwks.json")
			if err := os.Symlink(to, link); err != nil {
				t.Fatal(err)
			}
			execute(t, "", "rotate", "--jwks", link, t.TempDir()).mustFail(t, exitFailed, "reading key set: "+link+" is not a regular file")
			if got, err := os.Readlink(link); err != nil || got != to {
				t.Errorf("the link is changed: %s, %v", got, err)
			}
		})
	}
}

// A set of other public keys is replaced, and so is an empty set.
func TestRotateReplacesPublicSet(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		`{"keys":[]}`,
		`{"keys":[{"kty":"EC","crv":"P-384","x":"AA","y":"AA","x5c":["AA"],"x5t":"AA","x5t#S256":"AA","x5u":"x","key_ops":["verify"]}]}`,
	} {
		dir, file := t.TempDir(), filepath.Join(t.TempDir(), "shop.jwks.json")
		writeText(t, file, content)
		succeed(t, "rotate", "--jwks", file, dir)
		if read(t, file) != succeed(t, "jwks", dir) {
			t.Errorf("the file has %q", read(t, file))
		}
	}
}

// Several runs at once make one key, beside the first key and the lock. The file has it, whichever
// run wrote last.
func TestRotateAtOnce(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "shop.jwks.json")
	rotateOnce(t, dir)
	var runs sync.WaitGroup
	for range 8 {
		runs.Go(func() {
			if r := execute(t, "", "rotate", "--jwks", file, dir); r.status != exitOK {
				t.Errorf("%+v", r)
			}
		})
	}
	runs.Wait()
	if len(contents(t, dir)) != 3 || read(t, file) != succeed(t, "jwks", dir) {
		t.Errorf("%v, published as %s", contents(t, dir), read(t, file))
	}
}

func TestRotateErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	strange := t.TempDir()
	succeed(t, "keygen", "--out", filepath.Join(strange, "shop.pem"))
	file := filepath.Join(strange, "shop.pem")
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no directory":       {nil, exitUsage, "exactly one DIR"},
		"two directories":    {[]string{dir, dir}, exitUsage, "exactly one DIR"},
		"algorithm":          {[]string{"--alg", "HS256", dir}, exitUsage, `"HS256"`},
		"ahead":              {[]string{"--ahead", "0s", dir}, exitUsage, "--ahead 0s"},
		"keep":               {[]string{"--keep", "900ms", dir}, exitUsage, "--keep 900ms"},
		"min-age":            {[]string{"--min-age", "-1h", dir}, exitUsage, "--min-age -1h"},
		"no time":            {[]string{"--ahead", "soon", dir}, exitUsage, "for flag --ahead"},
		"a file":             {[]string{file}, exitFailed, file},
		"other files in it":  {[]string{strange}, exitFailed, "not named for a time"},
		"the same, and jwks": {[]string{"--jwks", filepath.Join(dir, "x.json"), strange}, exitFailed, "not named for a time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := execute(t, "", append([]string{"rotate"}, test.args...)...)
			r.mustFail(t, test.status, test.want)
			if r.out != "" {
				t.Errorf("stdout %q", r.out)
			}
		})
	}
	t.Cleanup(func() {
		if entries, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
			t.Errorf("a run that failed has left %v (%v)", entries, err)
		}
	})
}
