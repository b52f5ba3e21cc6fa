package main

import (
	"context"
	"flag"
	"fmt"
	"time"

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
