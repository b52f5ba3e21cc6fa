package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"example.com/micromachine/pkg/atomicfile"
	"example.com/micromachine/pkg/svcauth/keys"
)

var keygenCommand = command{
	name:    "keygen",
	args:    "--out FILE [--alg EdDSA|ES256|RS256] [--public FILE] [--jwks FILE] [--json]",
	summary: "make a service's key pair",
	about: `Makes a key pair. Writes the private key to a new PKCS #8 PEM file that only its owner can read, and
the public key to a PEM file, a JWK Set or both, for the trust files of the services that are called.
Existing files are never overwritten. Prints the kid, the key's identifier in tokens. To replace keys
without a refused call, use a directory of keys instead: see "svcauth help rotate".`,
	examples: []string{
		"svcauth keygen --out shop.pem                    # shop.pem and shop.pub.pem",
		"svcauth keygen --out shop.pem --jwks shop.jwks.json",
		"svcauth keygen --out shop.pem --alg ES256 --json",
	},
	define: defineKeygen,
}

// keyPairFiles are the files of a key pair. Public or JWKS may be empty.
type keyPairFiles struct{ Private, Public, JWKS string }

// keygenOutput is what keygen --json prints.
type keygenOutput struct {
	KeyID     string         `json:"kid"`
	Algorithm keys.Algorithm `json:"alg"`
	Private   string         `json:"private"`
	Public    string         `json:"public,omitempty"`
	JWKS      string         `json:"jwks,omitempty"`
}

func defineKeygen(fs *flag.FlagSet) action {
	var files keyPairFiles
	fs.StringVar(&files.Private, "out", "", "the file of the private key: a new `FILE`")
	alg := fs.String("alg", string(keys.EdDSA), "the `ALGORITHM`: EdDSA (the default), ES256 or RS256")
	fs.StringVar(&files.Public, "public", "",
		"the file of the public key as PEM: a new `FILE`; without --jwks, the default is --out with .pub.pem for .pem")
	fs.StringVar(&files.JWKS, "jwks", "", "the file of the public key as a JWK Set: a new `FILE`")
	asJSON := fs.Bool("json", false, "print kid, algorithm and file names as JSON")
	return func(_ context.Context, std stdio, args []string) error {
		if len(args) > 0 {
			return usagef("unexpected argument %q", args[0])
		}
		if err := files.complete(); err != nil {
			return err
		}
		return keygen(std, keys.Algorithm(*alg), files, *asJSON)
	}
}

// complete sets the default of Public, and checks that the files are given and differ.
func (f *keyPairFiles) complete() error {
	if f.Public == "" && f.JWKS == "" {
		f.Public = strings.TrimSuffix(f.Private, ".pem") + ".pub.pem"
	}
	switch {
	case f.Private == "":
		return usagef("--out is missing")
	case f.Public == f.Private:
		return usagef("--public and --out are the same file")
	case f.JWKS == f.Private:
		return usagef("--jwks and --out are the same file")
	case f.JWKS == f.Public:
		return usagef("--jwks and --public are the same file")
	}
	return nil
}

func keygen(std stdio, alg keys.Algorithm, files keyPairFiles, asJSON bool) error {
	if err := checkAlgorithm(alg); err != nil {
		return err
	}
	key, err := keys.Generate(alg)
	if err != nil {
		return err
	}
	if err := files.save(key); err != nil {
		return err
	}
	if asJSON {
		return std.json(keygenOutput{key.ID(), alg, files.Private, files.Public, files.JWKS})
	}
	_, err = fmt.Fprintln(std.out, key.ID())
	return err
}

func checkAlgorithm(alg keys.Algorithm) error {
	switch alg {
	case keys.EdDSA, keys.ES256, keys.RS256:
		return nil
	default:
		return usagef("--alg %q: must be %s, %s or %s", alg, keys.EdDSA, keys.ES256, keys.RS256)
	}
}

// save writes all files or none.
func (f *keyPairFiles) save(key *keys.Private) error {
	if err := key.Save(f.Private); err != nil {
		return err
	}
	written := []string{f.Private}
	for _, public := range []struct {
		file    string
		marshal func([]*keys.Private) ([]byte, error)
	}{{f.Public, marshalPEM}, {f.JWKS, marshalJWKS}} {
		if public.file == "" {
			continue
		}
		data, err := public.marshal([]*keys.Private{key})
		if err == nil {
			err = atomicfile.Create(public.file, data, 0o644)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("writing public key: %w", err), removeAll(written))
		}
		written = append(written, public.file)
	}
	return nil
}

func removeAll(files []string) (err error) {
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}
