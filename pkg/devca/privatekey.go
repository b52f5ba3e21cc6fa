package devca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/micromachine/pkg/atomicfile"
	"example.com/micromachine/pkg/fileperm"
)

// privateKey reads the key in the file called name, or makes it if there is no such file. certName
// is the file of the key's certificate.
func (d *directory) privateKey(name, certName string) (crypto.Signer, error) {
	if !d.exists(name) {
		return d.newPrivateKey(name)
	}
	if err := d.checkOwner(name); err != nil {
		return nil, err
	}
	if !d.exists(certName) {
		return nil, fmt.Errorf("%s is there and %s is not: put the certificate back, or remove the key to start anew",
			d.file(name), d.file(certName))
	}
	key, err := readPrivateKey(d.file(name))
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	d.note(name, Kept, "")
	return key, nil
}

func (d *directory) exists(name string) bool {
	_, err := os.Lstat(d.file(name))
	return !errors.Is(err, fs.ErrNotExist)
}

// checkOwner checks that no other user can read or change a private key.
func (d *directory) checkOwner(name string) error {
	info, err := os.Lstat(d.file(name))
	if err == nil {
		err = fileperm.OwnKey(d.file(name), info)
	}
	if err != nil {
		return fmt.Errorf("reading private key: %w", err)
	}
	return nil
}

func readPrivateKey(file string) (crypto.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s has no PEM block of type PRIVATE KEY", file)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key of type %T cannot sign", file, parsed)
	}
	return key, nil
}

func (d *directory) newPrivateKey(name string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding private key: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := atomicfile.Create(d.file(name), data, 0o600); err != nil {
		return nil, fmt.Errorf("writing private key: %w", err)
	}
	d.note(name, Made, "")
	return key, nil
}
