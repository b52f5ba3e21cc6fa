// Package devca makes a certificate authority and TLS server certificates for development, as files
// in one directory:
//
//	ca.pem, ca-key.pem       the authority, valid for ten years
//	HOST.pem, HOST-key.pem   the certificate of a server and its key, valid for one year
//
// Keys are ECDSA P-256. A private key is never overwritten.
package devca

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"example.com/micromachine/pkg/fileperm"
)

// A Config configures [Make].
type Config struct {
	// Dir is the directory of all files. It is made if it does not exist. No other user may write
	// to it. Required.
	Dir string
	// Hosts are the DNS names and IP addresses of the servers; see [CheckHost].
	Hosts []string
	// Now is the clock. The default is [time.Now].
	Now func() time.Time
}

// An Action is what [Make] did with a file.
type Action string

// The actions.
const (
	Made     Action = "made"
	Kept     Action = "kept"
	Replaced Action = "replaced"
)

// A File is a file of the authority or of a host.
type File struct {
	Name   string // with the directory
	Action Action
	Reason string // why it was replaced
}

// Make makes the authority and the certificates of the hosts. A file that exists is kept, but a
// certificate that has expired, or that does not match its key, its host or the authority, is
// replaced. It returns the files in the order in which it handled them, also with an error.
//
// It is an error if another user can read a private key in the directory or can have put it there:
// whoever has the authority's key can issue a certificate for any host. So is a private key without
// its certificate, because Make leaves none.
func Make(config Config) ([]File, error) {
	for _, host := range config.Hosts {
		if err := CheckHost(host); err != nil {
			return nil, err
		}
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	d := &directory{path: config.Dir, now: config.Now()}
	err := d.fill(config.Hosts)
	return d.files, err
}

// A directory is where the files are, and a record of what was done with them.
type directory struct {
	path  string
	now   time.Time
	files []File
}

func (d *directory) fill(hosts []string) error {
	if err := d.open(); err != nil {
		return err
	}
	ca, err := openAuthority(d)
	if err != nil {
		return fmt.Errorf("opening the authority: %w", err)
	}
	for _, host := range hosts {
		if err := makeServer(d, ca, host); err != nil {
			return fmt.Errorf("making the certificate of %s: %w", host, err)
		}
	}
	return nil
}

// open makes the directory if it does not exist, and checks that no other user can write to it.
func (d *directory) open() error {
	//nolint:gosec // others may read the certificates; the keys have their own mode
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return fmt.Errorf("making directory: %w", err)
	}
	info, err := os.Stat(d.path)
	if err == nil {
		err = fileperm.OwnDir(d.path, info)
	}
	if err != nil {
		return fmt.Errorf("checking directory: %w", err)
	}
	return nil
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

func (d *directory) note(name string, action Action, reason string) {
	d.files = append(d.files, File{d.file(name), action, reason})
}
