package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"example.com/micromachine/pkg/atomicfile"
	"example.com/micromachine/pkg/svcauth/keys"
)

// preparePublishing checks that the public keys can be written before a key is made.
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
		return err // the first key signs at once, even if it is not published
	}
	return publishKeys(dir, jwks)
}

// checkKeySet returns an error if the content of a file can have a private key: if it is not a JWK
// Set of public keys alone.
func checkKeySet(file string, old []byte) error {
	var set struct{ Keys *[]json.RawMessage }
	if json.Unmarshal(old, &set) != nil || set.Keys == nil {
		return fmt.Errorf("%s is not a JWK Set, and is not replaced", file)
	}
	if err := keys.CheckPublicJWKS(old); err != nil {
		return fmt.Errorf("%s has more than public keys, and is not replaced: %w", file, err)
	}
	return nil
}

// publishKeys writes the public keys of dir to file, and again if dir has changed in the meantime:
// of several runs at once, the last that writes must have read the last state.
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
