package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"example.com/micromachine/pkg/atomicfile"
	"example.com/micromachine/pkg/svcauth/keys"
)

var rotateCommand = command{
	name:    "rotate",
	args:    "[--alg EdDSA|ES256|RS256] [--ahead 20m] [--keep 20m] [--min-age DURATION] [--jwks FILE] [--json] DIR",
	summary: "replace a service's key, without a refused call",
	about: `Takes a service's key directory one step further. A missing or empty DIR gets a first key, which signs at once. Later
runs add the next key, which is published at once and signs after --ahead, and delete the key before it once the next one
has signed for --keep. Says what was done and how the directory stands. A service that is given DIR for its keys follows
within two seconds, without a restart. The command may be run at any time, several times at once, and again after it was
killed; where nothing is due, it does nothing.

From cron, run it often, with --min-age: that is how long a key signs before the next one is made. Run it as the user that
the service runs as, who owns the keys.

Replicas of the service need the same directory, or copies that follow it within half of --ahead. Receivers that discover
the keys look for themselves, often enough for the default. For receivers whose trust file names a file, --jwks writes one
at the end of each run, with the public keys of all files in DIR. FILE is replaced as a whole, if it is a JWK Set of public
keys alone: anything else could be a key, and is an error. What a run that failed or was killed has not published, the next
run does: make --ahead longer than the time between two runs and the way to the receivers.

When a key has leaked, run "svcauth rotate DIR", without --min-age, so that there is a next key; then delete the leaked
key's file. All files are published, the newest whose time has come signs, and the first where there is none such: the
service changes to another key at once, and receivers forget the leaked one when they look again, within minutes. With
--jwks, run it once more, so that FILE follows.`,
	examples: []string{
		"svcauth rotate /etc/shop/keys",
		"svcauth rotate --jwks /srv/trust/shop.jwks.json --ahead 3h /etc/shop/keys",
		"17 * * * * svcauth rotate --min-age 720h --ahead 3h /etc/shop/keys   # in a crontab: a new key every 30 days",
	},
	define: defineRotate,
}

func defineRotate(fs *flag.FlagSet) action {
	var config keys.RotateConfig
	alg := fs.String("alg", "", "the `ALGORITHM` of a new key: EdDSA, ES256 or RS256; by default the newest key's, EdDSA for the first one")
	fs.DurationVar(&config.PublishAhead, "ahead", keys.DefaultPublishAhead, "how long a new key is published before it signs: a `DURATION`, 20m by default")
	fs.DurationVar(&config.KeepRetired, "keep", keys.DefaultKeepRetired, "how long a key stays published after the next one signs: a `DURATION`, 20m by default; tokens live for 15m at most")
	fs.DurationVar(&config.MinAge, "min-age", 0, "how long a key has to have signed before the next one is made: a `DURATION`, none by default")
	jwks := fs.String("jwks", "", "write the public keys to a JWK Set `FILE`, replacing an older one")
	asJSON := fs.Bool("json", false, "print what was done and how the directory stands as JSON")
	return func(_ context.Context, std stdio, args []string) error {
		config.Algorithm = keys.Algorithm(*alg)
		if len(args) != 1 {
			return usagef("exactly one DIR is wanted, not %d", len(args))
		}
		if err := checkRotation(config); err != nil {
			return err
		}
		report, err := rotate(args[0], config, *jwks)
		if err != nil {
			return err
		}
		if *asJSON {
			return std.json(report)
		}
		_, err = fmt.Fprint(std.out, report.text(time.Now()))
		return err
	}
}

// checkRotation refuses what the library would read as its default, and what it cannot keep: keys are named for seconds.
func checkRotation(config keys.RotateConfig) error {
	switch {
	case config.PublishAhead < time.Second:
		return usagef("--ahead %v: must be 1s or more", config.PublishAhead)
	case config.KeepRetired < time.Second:
		return usagef("--keep %v: must be 1s or more", config.KeepRetired)
	case config.MinAge < 0:
		return usagef("--min-age %v: must not be negative", config.MinAge)
	case config.Algorithm != "":
		return checkAlgorithm(config.Algorithm)
	}
	return nil
}

// rotate rotates the keys in dir, and publishes them in the file named jwks, unless that is empty.
func rotate(dir string, config keys.RotateConfig, jwks string) (*rotateReport, error) {
	if jwks != "" {
		if err := preparePublishing(dir, jwks); err != nil {
			return nil, err
		}
	}
	done, err := keys.Rotate(dir, config)
	if err != nil {
		return nil, err
	}
	if jwks != "" {
		if err := publishKeys(dir, jwks); err != nil {
			return nil, err
		}
	}
	return newRotateReport(dir, done, jwks), nil
}

// preparePublishing makes sure that no key is made that could not be published afterwards.
func preparePublishing(dir, jwks string) error {
	old, err := atomicfile.Read(jwks)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading key set: %w", err)
	}
	if err == nil {
		if err := checkKeySet(jwks, old); err != nil {
			return err
		}
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.pem")); err != nil || len(files) == 0 {
		return err // the first key signs at once, published or not
	}
	return publishKeys(dir, jwks)
}

// checkKeySet refuses to replace a file that could hold a key: all but a JWK Set of public keys
// alone.
func checkKeySet(file string, old []byte) error {
	var set struct{ Keys *[]json.RawMessage }
	if json.Unmarshal(old, &set) != nil || set.Keys == nil {
		return fmt.Errorf("%s is no JWK Set, and is not replaced", file)
	}
	if err := keys.CheckPublicJWKS(old); err != nil {
		return fmt.Errorf("%s has more in it than public keys, and is not replaced: %w", file, err)
	}
	return nil
}

// publishKeys writes the public keys of dir to file. It looks at dir once more afterwards: of several runs at once, the
// last to write must not be one that read too early.
func publishKeys(dir, file string) error {
	var written []byte
	for {
		loaded, err := loadKeys([]string{dir})
		if err != nil {
			return err
		}
		data, err := marshalJWKS(loaded)
		if err != nil {
			return err
		}
		if bytes.Equal(data, written) {
			return nil
		}
		if err := atomicfile.Replace(file, data, func(old []byte) error { return checkKeySet(file, old) }); err != nil {
			return fmt.Errorf("writing key set: %w", err)
		}
		written = data
	}
}

// rotateReport is what rotate --json prints.
type rotateReport struct {
	Added   string       `json:"added,omitempty"` // the kid of a new key
	Removed []string     `json:"removed"`         // the kids of keys whose files were deleted
	Keys    []rotatedKey `json:"keys"`            // in the order in which they sign
	JWKS    string       `json:"jwks,omitempty"`
}

// A rotatedKey is a key of the directory.
type rotatedKey struct {
	ID    string     `json:"kid"`
	State string     `json:"state"` // retiring, signing or next
	From  *time.Time `json:"from,omitempty"`
	File  string     `json:"file,omitempty"`
}

func newRotateReport(dir string, done *keys.Rotation, jwks string) *rotateReport {
	report := &rotateReport{Removed: append([]string{}, done.Removed...), JWKS: jwks}
	if done.Added {
		report.Added = cmp.Or(done.Next, done.Signing)
	}
	files := keyFiles(dir)
	for _, kid := range done.Retiring {
		report.Keys = append(report.Keys, rotatedKey{ID: kid, State: "retiring", File: files[kid]})
	}
	report.Keys = append(report.Keys, rotatedKey{ID: done.Signing, State: "signing", File: files[done.Signing]})
	if done.Next != "" {
		report.Keys = append(report.Keys, rotatedKey{ID: done.Next, State: "next", From: &done.NextFrom, File: files[done.Next]})
	}
	return report
}

// keyFiles returns the files of a key directory by kid, as far as they are still there.
func keyFiles(dir string) map[string]string {
	files := map[string]string{}
	names, _ := filepath.Glob(filepath.Join(dir, "*.pem")) // Rotate has just read the directory
	for _, name := range names {
		if key, err := keys.Load(name); err == nil {
			files[key.ID()] = name
		}
	}
	return files
}

func (r *rotateReport) text(now time.Time) string {
	var text strings.Builder
	switch {
	case r.Added != "" && len(r.Keys) == 1:
		fmt.Fprintf(&text, "made the key %s, which signs at once\n", r.Added)
	case r.Added != "":
		fmt.Fprintf(&text, "made the key %s, which signs next\n", r.Added)
	}
	for _, kid := range r.Removed {
		fmt.Fprintf(&text, "deleted the key %s, whose time was over\n", kid)
	}
	if r.Added == "" && len(r.Removed) == 0 {
		text.WriteString("nothing to do\n")
	}
	if r.JWKS != "" {
		fmt.Fprintf(&text, "wrote the public keys to %s\n", r.JWKS)
	}
	text.WriteString("\n")
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, k := range r.Keys {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", k.ID, k.stands(now), k.File)
	}
	_ = table.Flush() // a strings.Builder takes everything
	return text.String()
}

// stands says in words how the key stands.
func (k rotatedKey) stands(now time.Time) string {
	switch k.State {
	case "signing":
		return "signs now"
	case "next":
		return "signs next, from " + instantOf(k.From.Unix(), now.Unix()).String()
	default:
		return "signs no more, and is published still"
	}
}
