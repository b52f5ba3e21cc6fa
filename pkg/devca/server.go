package devca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"time"
)

// makeServer makes the key and the certificate of one host.
func makeServer(d *directory, ca *authority, host string) error {
	certFile, keyFile := host+".pem", host+"-key.pem"
	key, err := d.privateKey(keyFile, certFile)
	if err != nil {
		return err
	}
	unusable := func(cert *x509.Certificate) string {
		switch reason := d.keyFault(cert, key, keyFile); {
		case reason != "":
			return reason
		case cert.CheckSignatureFrom(ca.cert) != nil:
			return "it is not signed by " + d.file(caCertFile)
		case cert.VerifyHostname(host) != nil:
			return "it is not for " + host
		default:
			return ""
		}
	}
	_, err = d.certificate(certFile, unusable, func() ([]byte, error) {
		return x509.CreateCertificate(rand.Reader, serverTemplate(host, ca.cert, d.now), ca.cert, key.Public(), ca.key)
	})
	return err
}

func serverTemplate(host string, ca *x509.Certificate, now time.Time) *x509.Certificate {
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"svcauth development"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(serverYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(ca.NotAfter) {
		template.NotAfter = ca.NotAfter
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	return template
}
