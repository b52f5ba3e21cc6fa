package stack

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"example.com/micromachine/pkg/devca"
)

// trustFiles are the trust files of the services, for the demo and for compose.
//
//go:embed trust/*.yaml
var trustFiles embed.FS

// mailHost is the host of the mail server in compose.
const mailHost = "mail.service"

// Prepare makes the keys, the development CA and its certificates, and puts them and the trust
// files below dir, for each service only the files that it needs:
//
//	census/ and so on  keys/ to be rotated, tls.pem, tls-key.pem, ca.pem, trust.yaml and the
//	                   callers' public keys
//	mail/              tls.pem, tls-key.pem
//	callers/           another.pem, shop.pem, office.pem, ca.pem; ca/ with the development CA
//
// Files that exist are kept. The svcauth program in binDir makes the keys.
func Prepare(ctx context.Context, binDir, dir string) error {
	svcauth := filepath.Join(binDir, "svcauth")
	ca := filepath.Join(dir, "callers", "ca")
	hosts := []string{mailHost, "localhost"}
	for _, service := range Services() {
		hosts = append(hosts, service.host())
	}
	if _, err := devca.Make(devca.Config{Dir: ca, Hosts: hosts}); err != nil {
		return fmt.Errorf("making TLS certificates: %w", err)
	}
	for _, c := range callers {
		if err := keygen(ctx, svcauth, filepath.Join(dir, "callers", c.name+".pem")); err != nil {
			return err
		}
	}
	for _, service := range Services() {
		keys := filepath.Join(dir, service.Name, "keys")
		// The minimum age of ten years makes rotate create only the first key.
		if err := run(ctx, svcauth, "rotate", "--min-age", "87600h", keys); err != nil {
			return err
		}
		if err := layOut(dir, service); err != nil {
			return fmt.Errorf("laying out the files of %s: %w", service.Name, err)
		}
	}
	return errors.Join(copyCertificate(dir, "mail", mailHost),
		copyFile(filepath.Join(ca, "ca.pem"), filepath.Join(dir, "callers", "ca.pem"), 0o644))
}

func keygen(ctx context.Context, svcauth, file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return run(ctx, svcauth, "keygen", "--out", file)
}

// layOut copies the certificate, the public keys and the trust file of a service to its directory.
func layOut(dir string, service *Service) error {
	to := filepath.Join(dir, service.Name)
	from := filepath.Join(dir, "callers")
	trust, err := trustFiles.ReadFile("trust/" + service.Name + ".yaml")
	if err != nil {
		return err
	}
	if err := copyCertificate(dir, service.Name, service.host()); err != nil {
		return err
	}
	for _, c := range callers {
		file := c.name + ".pub.pem"
		err = errors.Join(err, copyFile(filepath.Join(from, file), filepath.Join(to, file), 0o644))
	}
	return errors.Join(err,
		os.WriteFile(filepath.Join(to, "trust.yaml"), trust, 0o644),
		copyFile(filepath.Join(from, "ca", "ca.pem"), filepath.Join(to, "ca.pem"), 0o644))
}

// copyCertificate copies the certificate of a host to the directory of a service or of the mail
// server.
func copyCertificate(dir, name, host string) error {
	to := filepath.Join(dir, name)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	from := filepath.Join(dir, "callers", "ca", host)
	return errors.Join(
		copyFile(from+".pem", filepath.Join(to, "tls.pem"), 0o644),
		copyFile(from+"-key.pem", filepath.Join(to, "tls-key.pem"), 0o600))
}

func copyFile(from, to string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, mode); err != nil {
		return err
	}
	return os.Chmod(to, mode) // the file may have existed with another mode
}

// environ returns the environment of a program: this process's environment and the given settings.
// If settings are given, it leaves out the settings of the services in this process's environment,
// which are not for this program.
func environ(settings []string) []string {
	own := os.Environ()
	if len(settings) > 0 {
		for _, service := range Services() {
			own = slices.DeleteFunc(own, func(v string) bool { return strings.HasPrefix(v, service.prefix()) })
		}
	}
	return append(own, settings...)
}

// run runs a program to its end. The error contains the program's output.
func run(ctx context.Context, program string, args ...string) error {
	return runEnv(ctx, nil, program, args...)
}

func runEnv(ctx context.Context, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = environ(env)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
