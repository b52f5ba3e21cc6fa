package keys

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"example.com/micromachine/pkg/fileperm"
)

// Load reads a private key from a PEM file with one PKCS #8 block (RFC 5958), as [Private.Save] and
// "openssl genpkey" write it. The kind of key decides its algorithm.
//
// A file that other users can read or change is an error: its mode must be 0600 or less. One that
// belongs to root may be readable by its group, 0640 or 0440, when the process does not run as
// root, as a secret that Kubernetes mounts with fsGroup is. Where the platform cannot say who else
// has access, a warning is logged to [slog.Default] instead.
func Load(file string) (*Private, error) {
	data, err := readSecret(file)
	if err != nil {
		return nil, fmt.Errorf("loading private key: %w", err)
	}
	key, err := parsePrivate(data)
	if err != nil {
		return nil, fmt.Errorf("loading private key: %s: %w", file, err)
	}
	return key, nil
}

// readSecret reads a file to which only its owner may have access.
func readSecret(file string) (data []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := fileperm.Secret(file, info); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

func parsePrivate(data []byte) (*Private, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	if block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("a PEM block of type %q where PKCS #8 \"PRIVATE KEY\" is wanted", block.Type)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errors.New("more than one PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing PKCS #8: %w", err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", parsed)
	}
	return newPrivate(signer)
}

// Save writes the key to a new file as PKCS #8 PEM, with mode 0600. It never overwrites: an
// existing file is an error that satisfies errors.Is(err, fs.ErrExist). A key of [FromSigner] that
// is not in memory cannot be saved.
func (k *Private) Save(file string) error {
	if k.memory == nil {
		return errors.New("writing private key: the key is not in memory, only its signer is")
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.memory)
	if err != nil {
		return fmt.Errorf("encoding private key: %w", err)
	}
	return writeNew(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// writeNew creates file with mode 0600 and data. It removes a file that it cannot write completely.
func writeNew(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing private key: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing private key: %w", err), os.Remove(file))
	}
	return nil
}
