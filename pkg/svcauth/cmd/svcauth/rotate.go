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
	summary: "replace a service's key without a refused call",
	about: `Makes the next step of a key rotation in a service's key directory. If DIR is missing or empty, makes
the first key, which signs at once. Later runs add the next key, which is published at once and signs
after --ahead, and delete the previous key after the next one has signed for --keep, when the tokens
of the previous key have expired: they are valid for at most 15m. Prints what was done and the state
of each key. A service that uses DIR for its keys loads them again within two seconds, without a
restart. The command can be run at any time, several times at once, and again after it was killed; it
does nothing if no step is due.

From cron, run it often, and set --min-age, the time for which a key signs before the next one is
made. Run it as the user of the service, who owns the keys.

Replicas of the service need the same directory, or copies that are updated within half of --ahead.
Receivers that discover the keys fetch them often enough for the default of --ahead. For receivers
whose trust file names a file, --jwks writes a file with the public keys of all files in DIR at the
end of each run. FILE is replaced as a whole; it must be a JWK Set of public keys alone, because any
other file could be a key. If a run fails or is killed before it has written FILE, the next run writes
it: --ahead must be longer than the time between two runs plus the time until receivers have FILE.

When a key has leaked, run "svcauth rotate DIR" without --min-age, so that there is a next key, and
delete the leaked key's file. The service changes to another key at once, and receivers forget the
leaked key when they fetch the keys again, within minutes. With --jwks, run the command once more to
update FILE.`,
	examples: []string{
		"svcauth rotate /etc/shop/keys",
		"svcauth rotate --jwks /srv/trust/shop.jwks.json --ahead 3h /etc/shop/keys",
		"17 * * * * svcauth rotate --min-age 720h --ahead 3h /etc/shop/keys   # in a crontab: a new key every 30 days",
	},
	define: defineRotate,
}

func defineRotate(fs *flag.FlagSet) action {
	var config keys.RotateConfig
	alg := fs.String("alg", "",
		"the `ALGORITHM` of a new key: EdDSA, ES256 or RS256; the default is that of the newest key, or EdDSA")
	fs.DurationVar(&config.PublishAhead, "ahead", keys.DefaultPublishAhead,
		"the time for which a new key is published before it signs: a `DURATION`, 20m by default")
	fs.DurationVar(&config.KeepRetired, "keep", keys.DefaultKeepRetired,
		"the time for which a key is published after the next one signs: a `DURATION`, 20m by default")
	fs.DurationVar(&config.MinAge, "min-age", 0,
		"the time for which a key signs before the next one is made: a `DURATION`, none by default")
	jwks := fs.String("jwks", "", "write the public keys to a JWK Set `FILE`, or replace it")
	asJSON := fs.Bool("json", false, "print what was done and the state of each key as JSON")
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

// checkRotation rejects values that the library would replace by its defaults, and times under a
// second, because the names of key files have seconds.
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

// rotate rotates the keys in dir and writes the public keys to the file jwks, unless that is empty.
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
