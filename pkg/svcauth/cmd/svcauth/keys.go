package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"example.com/micromachine/pkg/svcauth"
)

var keygenCommand = command{
	name:    "keygen",
	args:    "--out FILE [--alg EdDSA|ES256|RS256] [--public FILE] [--json]",
	summary: "make a service's key pair",
	about: `Makes a key pair. The private key goes to a new PKCS #8 PEM file that only its owner can read, the public key to a
PEM file for the trust files of those who are called. Neither is ever written over an existing file. Prints the kid,
the identifier by which tokens name the key.`,
	examples: []string{
		"svcauth keygen --out shop.pem                    # shop.pem and shop.pub.pem",
		"svcauth keygen --out shop.pem --alg ES256 --json",
	},
	define: defineKeygen,
}

func defineKeygen(fs *flag.FlagSet) action {
	out := fs.String("out", "", "where the private key goes: a new `FILE`")
	alg := fs.String("alg", string(svcauth.EdDSA), "the `ALGORITHM`: EdDSA (the default), ES256 or RS256")
	public := fs.String("public", "", "where the public key goes: a new `FILE`, by default --out with .pub.pem for .pem")
	asJSON := fs.Bool("json", false, "print kid, algorithm and file names as JSON")
	return func(_ context.Context, std stdio, args []string) error {
		switch {
		case len(args) > 0:
			return usagef("%q is one argument too many", args[0])
		case *out == "":
			return usagef("--out is missing")
		case *public == *out:
			return usagef("--public and --out are the same file")
		}
		if *public == "" {
			*public = strings.TrimSuffix(*out, ".pem") + ".pub.pem"
		}
		return keygen(std, svcauth.Algorithm(*alg), *out, *public, *asJSON)
	}
}

func keygen(std stdio, alg svcauth.Algorithm, private, public string, asJSON bool) error {
	switch alg {
	case svcauth.EdDSA, svcauth.ES256, svcauth.RS256:
	default:
		return usagef("--alg %q: must be %s, %s or %s", alg, svcauth.EdDSA, svcauth.ES256, svcauth.RS256)
	}
	key, err := svcauth.GenerateKey(alg)
	if err != nil {
		return err
	}
	if err := saveKeyPair(key, private, public); err != nil {
		return err
	}
	if asJSON {
		return std.json(struct {
			KeyID     string            `json:"kid"`
			Algorithm svcauth.Algorithm `json:"alg"`
			Private   string            `json:"private"`
			Public    string            `json:"public"`
		}{key.ID(), alg, private, public})
	}
	_, err = fmt.Fprintln(std.out, key.ID())
	return err
}

// saveKeyPair writes both files or neither.
func saveKeyPair(key *svcauth.PrivateKey, private, public string) error {
	data, err := key.PublicPEM()
	if err != nil {
		return err
	}
	if err := key.Save(private); err != nil {
		return err
	}
	if err := writeNew(public, data, 0o644); err != nil {
		return errors.Join(fmt.Errorf("writing public key: %w", err), os.Remove(private))
	}
	return nil
}

// writeNew creates file with data, complete or not at all. A file that is there already is an error.
func writeNew(file string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

var jwksCommand = command{
	name:    "jwks",
	args:    "[--pem] KEY-FILE…",
	summary: "print the public keys of private key files",
	about: `Prints the public halves of private keys as a JWK Set (RFC 7517), as a service publishes them and as a trust file's
"keys" takes them, or as PEM.`,
	examples: []string{
		"svcauth jwks shop.pem shop-next.pem > shop.jwks.json",
		"svcauth jwks --pem shop.pem > shop.pub.pem",
	},
	define: defineJWKS,
}

func defineJWKS(fs *flag.FlagSet) action {
	asPEM := fs.Bool("pem", false, "print PEM blocks instead of a JWK Set")
	return func(_ context.Context, std stdio, args []string) error {
		if len(args) == 0 {
			return usagef("no KEY-FILE is given")
		}
		keys, err := loadKeys(args)
		if err != nil {
			return err
		}
		marshal := marshalJWKS
		if *asPEM {
			marshal = marshalPEM
		}
		data, err := marshal(keys)
		if err != nil {
			return err
		}
		_, err = std.out.Write(data)
		return err
	}
}

// loadKeys reads private keys, each of them another one: receivers refuse a set that has a key twice.
func loadKeys(files []string) ([]*svcauth.PrivateKey, error) {
	var keys []*svcauth.PrivateKey
	seen := map[string]string{}
	for _, file := range files {
		key, err := svcauth.LoadKey(file)
		if err != nil {
			return nil, err
		}
		if other, ok := seen[key.ID()]; ok {
			return nil, usagef("%s and %s are the same key", other, file)
		}
		seen[key.ID()] = file
		keys = append(keys, key)
	}
	return keys, nil
}

func marshalJWKS(keys []*svcauth.PrivateKey) ([]byte, error) {
	data, err := svcauth.MarshalJWKS(keys...)
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		return nil, fmt.Errorf("indenting key set: %w", err)
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

func marshalPEM(keys []*svcauth.PrivateKey) ([]byte, error) {
	var all []byte
	for _, key := range keys {
		data, err := key.PublicPEM()
		if err != nil {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}
