package servicetest

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// World is the environment of a service in a test.
type World struct {
	// Define returns the service's definition. Required.
	Define Define
	// URL is the service's URL. The certificate of package httptest must be valid for its host.
	// Required.
	URL string
	// DatabaseURL is the setting of the service's database. Required.
	DatabaseURL string
	// Trust is the entry of the service's trust file, and Subject the user in whose name its issuer
	// calls. Required.
	Trust   svcauthtest.Trust
	Subject svcauth.Subject
	// AwaitWork waits until the service has done the work of at least so many writes. Nil: they leave
	// no work.
	AwaitWork func(t *testing.T, writes int)

	// Environ is the environment of the service with all settings that it needs, set by Prepare. The
	// listeners are on free ports.
	Environ []string
	// CAFile is the authority of the service's certificate, set by Prepare.
	CAFile string
}

// Prepare writes the files of the service: its certificate, its key and its trust file.
func (w *World) Prepare(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	certFile, certKeyFile := writeCertificate(t, dir)
	keyFile := filepath.Join(dir, "key.pem")
	key, err := keys.Generate(keys.EdDSA)
	if err == nil {
		err = key.Save(keyFile)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.CAFile = certFile
	for name, value := range map[string]string{
		"URL": w.URL, "DATABASE_URL": w.DatabaseURL,
		"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0",
		"TLS_CERT_FILE": certFile, "TLS_KEY_FILE": certKeyFile,
		"KEY_FILE": keyFile, "TRUST_FILE": svcauthtest.WriteTrustFile(t, w.Trust),
	} {
		w.Set(name, value)
	}
}

// Set adds a setting to the environment. name has no prefix.
func (w *World) Set(name, value string) {
	w.Environ = append(w.Environ, variable(w.Define, name)+"="+value)
}

// With returns the environment with a further setting, as NAME=value without the prefix. The last
// value of a variable counts.
func (w *World) With(setting string) []string {
	return append(slices.Clip(w.Environ), variable(w.Define, setting))
}

// writeCertificate writes the certificate of package httptest, which is its own authority, and its
// key.
func writeCertificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls-key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
