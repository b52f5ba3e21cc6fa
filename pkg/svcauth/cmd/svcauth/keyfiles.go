package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"

	"example.com/micromachine/pkg/svcauth/keys"
)

// loadKeys reads private keys from files and directories. A key that occurs twice is an error,
// because receivers reject a set that has a key twice.
func loadKeys(paths []string) ([]*keys.Private, error) {
	var all []*keys.Private
	seen := map[string]string{}
	for _, path := range paths {
		loaded, err := openKeys(path)
		if err != nil {
			return nil, err
		}
		for _, key := range loaded.PublishedKeys() {
			if other, ok := seen[key.ID()]; ok {
				return nil, usagef("%s and %s are the same key", other, path)
			}
			seen[key.ID()] = path
			all = append(all, key)
		}
	}
	return all, nil
}

// openKeys reads a key file or a key directory.
func openKeys(path string) (*keys.Files, error) {
	return keys.Watch(path, slog.New(slog.DiscardHandler))
}

func marshalJWKS(list []*keys.Private) ([]byte, error) {
	data, err := keys.MarshalJWKS(list...)
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

func marshalPEM(list []*keys.Private) ([]byte, error) {
	var all []byte
	for _, key := range list {
		data, err := key.PublicPEM()
		if err != nil {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}
