package devca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"example.com/micromachine/pkg/atomicfile"
)

// certificate reads the certificate in the file called name. If there is no such file, or unusable
// returns a reason against the certificate, it issues a certificate and writes it. unusable returns
// an empty text for a certificate to keep.
func (d *directory) certificate(
	name string, unusable func(*x509.Certificate) string, issue func() ([]byte, error),
) (*x509.Certificate, error) {
	action, reason := Made, ""
	old, err := readCertificate(d.file(name))
	switch {
	case err == nil:
		if reason = unusable(old); reason == "" {
			d.note(name, Kept, "")
			return old, nil
		}
		action = Replaced
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading certificate: %w", err)
	}
	der, err := issue()
	if err != nil {
		return nil, fmt.Errorf("issuing certificate: %w", err)
	}
	if err := writeCertificate(d.file(name), der); err != nil {
		return nil, fmt.Errorf("writing certificate: %w", err)
	}
	d.note(name, action, reason)
	return x509.ParseCertificate(der)
}

// keyFault returns why cert is not a valid certificate for key, or an empty text.
func (d *directory) keyFault(cert *x509.Certificate, key crypto.Signer, keyFile string) string {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !public.Equal(cert.PublicKey):
		return "it does not match the key in " + d.file(keyFile)
	case d.now.After(cert.NotAfter):
		return "it expired on " + cert.NotAfter.UTC().Format(time.DateOnly)
	}
	return ""
}

func readCertificate(file string) (*x509.Certificate, error) {
	data, err := atomicfile.Read(file)
	if err != nil {
		return nil, err
	}
	return parseCertificate(file, data)
}

// writeCertificate writes a certificate. It overwrites a file only if it holds a certificate.
func writeCertificate(file string, der []byte) error {
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return atomicfile.Replace(file, data, func(old []byte) error {
		_, err := parseCertificate(file, old)
		return err
	})
}

// parseCertificate parses the content of a file that holds exactly one certificate. A file that
// also holds a key is an error, because it must not be replaced.
func parseCertificate(file string, data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s has no PEM block of type CERTIFICATE", file)
	}
	if !bytes.Equal(bytes.TrimSpace(data), bytes.TrimSpace(pem.EncodeToMemory(block))) {
		return nil, fmt.Errorf("%s has more in it than one certificate", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cert, nil
}
