package httpserve

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"example.com/micromachine/pkg/fileperm"
)

// checkInterval is the shortest time between two checks of the files.
const checkInterval = time.Second

// certificate is a key pair that is reloaded when its files change.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	seen    string // the files' state when they were last read
	checked time.Time
}

func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, checked: time.Now()}
	c.seen = c.state()
	pair, err := loadPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("loading certificate: %w", err)
	}
	c.pair = &pair
	return c, nil
}

// loadPair reads a key pair. A key that other users can read or change is refused.
func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	info, err := os.Stat(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := fileperm.Secret(keyFile, info); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(certFile, keyFile)
}

// get is the GetCertificate of a [tls.Config].
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= checkInterval {
		c.checked = time.Now()
		c.reload()
	}
	return c.pair, nil
}

// reload reads the files if they have changed. If the new pair cannot be loaded, as when only one
// file has been replaced yet, the old one stays in use.
func (c *certificate) reload() {
	state := c.state()
	if state == c.seen {
		return
	}
	c.seen = state
	pair, err := loadPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Error("new certificate not usable, keeping the old one", "error", err)
		return
	}
	c.pair = &pair
	c.log.Info("certificate reloaded", "file", c.certFile)
}

// state returns a text that changes when the files change. It is taken before the files are read,
// so that a change in between is found the next time.
func (c *certificate) state() string {
	var state strings.Builder
	for _, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			fmt.Fprintln(&state, err)
			continue
		}
		fmt.Fprintln(&state, info.ModTime().UnixNano(), info.Size(), info.Mode())
	}
	return state.String()
}
