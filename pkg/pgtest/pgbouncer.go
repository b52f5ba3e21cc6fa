package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// PgBouncer starts a PgBouncer in the given pool mode in front of a database and returns the URL
// through it. It stops with the test. If PgBouncer is not installed, the test is skipped, except in
// CI, where it fails.
func PgBouncer(tb testing.TB, databaseURL, mode string) string {
	tb.Helper()
	program, err := findPgBouncer()
	if err != nil && os.Getenv("CI") == "" {
		tb.Skipf("NOT RUN: %v", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	throughURL, err := startPgBouncer(tb, program, databaseURL, mode)
	if err != nil {
		tb.Fatalf("starting PgBouncer: %v", err)
	}
	return throughURL
}

func findPgBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} { // Debian's directory is often not in PATH
		if program, err := exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", errors.New("no PgBouncer found: install it (Debian, Ubuntu, Fedora: pgbouncer)")
}

func startPgBouncer(tb testing.TB, program, databaseURL, mode string) (throughURL string, err error) {
	tb.Helper()
	through, err := url.Parse(databaseURL)
	if err != nil {
		return "", fmt.Errorf("parsing database URL: %w", err)
	}
	port := randomPort()
	for !portFree(port) {
		port = randomPort()
	}
	credential, err := unprivileged()
	if err != nil {
		return "", err
	}
	dir, err := pgBouncerFiles(tb, through, port, mode, credential)
	if err != nil {
		return "", err
	}
	cmd := exec.Command(program, "-q", filepath.Join(dir, "pgbouncer.ini"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	through.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	if throughURL, err = ready(ctx, nil, through.String()); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return "", fmt.Errorf("%w\n%s", err, log)
	}
	return throughURL, nil
}

// pgBouncerFiles writes PgBouncer's configuration to a directory that the user of the credential
// can read.
func pgBouncerFiles(
	tb testing.TB, server *url.URL, port int, mode string, credential *syscall.Credential,
) (dir string, err error) {
	tb.Helper()
	dir, err = os.MkdirTemp("", "mm_pgbouncer_") //nolint:usetesting // other users cannot read tb.TempDir
	if err != nil {
		return "", err
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	password, _ := server.User.Password()
	for name, content := range map[string]string{
		"pgbouncer.ini": fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = %s
default_pool_size = 60
max_client_conn = 200
logfile = %s
`, server.Hostname(), server.Port(), port, filepath.Join(dir, "users"), mode, filepath.Join(dir, "log")),
		"users": fmt.Sprintf("%q %q\n", server.User.Username(), password),
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return "", err
		}
		if credential != nil {
			if err := os.Chown(file, int(credential.Uid), int(credential.Gid)); err != nil {
				return "", err
			}
		}
	}
	if credential != nil {
		err = os.Chown(dir, int(credential.Uid), int(credential.Gid))
	}
	return dir, err
}
