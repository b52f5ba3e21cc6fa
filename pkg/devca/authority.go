package devca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"
)

// The files of the authority.
const (
	caCertFile = "ca.pem"
	caKeyFile  = "ca-key.pem"
)

// The validity of certificates. It begins an hour early, for clients whose clocks are behind.
const (
	caYears     = 10
	serverYears = 1
	backdate    = time.Hour
)

// An authority signs the certificates of servers.
type authority struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// openAuthority loads the authority or makes it. A replaced certificate is for the same key, so
// that certificates that the authority signed before remain valid.
func openAuthority(d *directory) (*authority, error) {
	if d.exists(caCertFile) && !d.exists(caKeyFile) {
		return nil, fmt.Errorf("%s is there and %s is not: put the key back, or remove the certificate to start anew",
			d.file(caCertFile), d.file(caKeyFile))
	}
	key, err := d.privateKey(caKeyFile, caCertFile)
	if err != nil {
		return nil, err
	}
	unusable := func(cert *x509.Certificate) string {
		if !cert.IsCA {
			return "it is not a CA certificate"
		}
		return d.keyFault(cert, key, caKeyFile)
	}
	cert, err := d.certificate(caCertFile, unusable, func() ([]byte, error) {
		template := authorityTemplate(d.now)
		return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	})
	return &authority{key, cert}, err
}

func authorityTemplate(now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: "svcauth development CA"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
}
