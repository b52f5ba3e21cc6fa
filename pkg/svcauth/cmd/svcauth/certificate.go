package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"example.com/micromachine/pkg/fileperm"
)

// The files of the authority itself.
const (
	caCertFile = "ca.pem"
	caKeyFile  = "ca-key.pem"
)

// How long certificates are valid, and how far the clock of who checks them may be behind.
const (
	caYears   = 10
	hostYears = 1
	backdate  = time.Hour
)

// A devCA is a certificate authority whose files lie in one directory.
type devCA struct {
	dir  string
	now  time.Time
	key  crypto.Signer
	cert *x509.Certificate
	done []outcome
}

// open loads the authority, or makes it when there is none. A new certificate for the same key keeps what was signed
// before valid.
func (ca *devCA) open() error {
	if ca.exists(caCertFile) && !ca.exists(caKeyFile) {
		return fmt.Errorf("%s is there and %s is not: put the key back, or remove the certificate to start anew",
			ca.path(caCertFile), ca.path(caKeyFile))
	}
	var err error
	if ca.key, err = ca.privateKey(caKeyFile, caCertFile); err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "svcauth development CA"},
		NotBefore:             ca.now.Add(-backdate),
		NotAfter:              ca.now.AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	ca.cert, err = ca.certificate(caCertFile, ca.authorityFault, func() ([]byte, error) {
		return x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	})
	return err
}

// authorityFault says why cert cannot be the authority's; empty when it can.
func (ca *devCA) authorityFault(cert *x509.Certificate) string {
	if !cert.IsCA {
		return "it was not that of an authority"
	}
	return ca.fault(cert, ca.key, caKeyFile)
}

// fault says why no certificate for key can be cert; empty when it can.
func (ca *devCA) fault(cert *x509.Certificate, key crypto.Signer, keyFile string) string {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !public.Equal(cert.PublicKey):
		return "it was not for the key in " + ca.path(keyFile)
	case ca.now.After(cert.NotAfter):
		return "it expired on " + cert.NotAfter.UTC().Format(time.DateOnly)
	}
	return ""
}

// host makes key and certificate of one host, where they are missing.
func (ca *devCA) host(host string) error {
	certFile, keyFile := host+".pem", host+"-key.pem"
	key, err := ca.privateKey(keyFile, certFile)
	if err != nil {
		return err
	}
	fault := func(cert *x509.Certificate) string {
		if reason := ca.fault(cert, key, keyFile); reason != "" {
			return reason
		}
		if cert.CheckSignatureFrom(ca.cert) != nil {
			return "it was not signed by " + ca.path(caCertFile)
		}
		if cert.VerifyHostname(host) != nil {
			return "it was not for " + host
		}
		return ""
	}
	_, err = ca.certificate(certFile, fault, func() ([]byte, error) {
		return x509.CreateCertificate(rand.Reader, ca.hostTemplate(host), ca.cert, key.Public(), ca.key)
	})
	return err
}

func (ca *devCA) hostTemplate(host string) *x509.Certificate {
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"svcauth development"}},
		NotBefore:             ca.now.Add(-backdate),
		NotAfter:              ca.now.AddDate(hostYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	return template
}

func (ca *devCA) exists(name string) bool {
	_, err := os.Lstat(ca.path(name))
	return !errors.Is(err, fs.ErrNotExist)
}

// privateKey reads the key in a file, or makes it when there is no such file. A key that others may
// know, or may have put there, is an error: who has the key of an authority can be every host. So
// is one without its certificate, which this command did not leave so.
func (ca *devCA) privateKey(name, certName string) (crypto.Signer, error) {
	info, err := os.Lstat(ca.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return ca.newPrivateKey(name)
	}
	if err == nil {
		err = fileperm.OwnKey(ca.path(name), info)
	}
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	if !ca.exists(certName) {
		return nil, fmt.Errorf("%s is there and %s is not: put the certificate back, or remove the key to start anew",
			ca.path(name), ca.path(certName))
	}
	data, err := os.ReadFile(ca.path(name))
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("reading private key: %s has no PEM block of type PRIVATE KEY", ca.path(name))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading private key: %s: %w", ca.path(name), err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("reading private key: %s: a key of type %T cannot sign", ca.path(name), parsed)
	}
	ca.note(name, "kept", "")
	return key, nil
}

func (ca *devCA) newPrivateKey(name string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding private key: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := writeNew(ca.path(name), data, 0o600); err != nil {
		return nil, fmt.Errorf("writing private key: %w", err)
	}
	ca.note(name, "made", "")
	return key, nil
}

// certificate reads the certificate in a file. Where there is none, or fault finds a reason why it will not do, one is
// issued and written.
func (ca *devCA) certificate(name string, fault func(*x509.Certificate) string, issue func() ([]byte, error)) (*x509.Certificate, error) {
	action, reason := "made", ""
	old, err := readCertificate(ca.path(name))
	switch {
	case err == nil:
		if reason = fault(old); reason == "" {
			ca.note(name, "kept", "")
			return old, nil
		}
		action = "replaced"
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading certificate: %w", err)
	}
	der, err := issue()
	if err != nil {
		return nil, fmt.Errorf("issuing certificate: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := replaceFile(ca.path(name), data, isCertificate(ca.path(name))); err != nil {
		return nil, fmt.Errorf("writing certificate: %w", err)
	}
	ca.note(name, action, reason)
	return x509.ParseCertificate(der)
}

func readCertificate(file string) (*x509.Certificate, error) {
	data, err := readReplaceable(file)
	if err != nil {
		return nil, err
	}
	return parseCertificate(file, data)
}

// isCertificate returns a check for what is in a file: one certificate, and nothing that could be a
// key beside it.
func isCertificate(file string) func([]byte) error {
	return func(data []byte) error {
		_, err := parseCertificate(file, data)
		return err
	}
}

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
