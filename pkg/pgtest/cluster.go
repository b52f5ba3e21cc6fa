package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// A cluster is a PostgreSQL server that runs from the programs in bin in a temporary directory.
type cluster struct {
	bin        string
	password   string
	credential *syscall.Credential
	dir        string
	port       int
	process    *os.Process
	exited     chan struct{}
}

// localSettings make the server listen on 127.0.0.1 only and log to stderr.
var localSettings = []string{
	"listen_addresses=127.0.0.1", "unix_socket_directories=", "logging_collector=off", "log_destination=stderr",
}

func (c *cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := c.init(ctx); err != nil {
		return err
	}
	var err error
	for range portTries {
		if c.port = randomPort(); !portFree(c.port) {
			continue
		}
		if err = c.launch(ctx); err == nil {
			return nil
		}
		// Another process may have taken the port in the meantime. Any other failure would repeat,
		// so its error is returned.
		if ctx.Err() != nil || portFree(c.port) {
			break
		}
	}
	return fmt.Errorf("starting postgres: %w\n%s", err, c.log())
}

// init creates the directory and the data in it.
func (c *cluster) init(ctx context.Context) error {
	if err := c.makeDir(ctx); err != nil {
		return err
	}
	passwordFile := filepath.Join(c.dir, "password")
	if err := os.WriteFile(passwordFile, []byte(c.password), 0o600); err != nil {
		return fmt.Errorf("writing password: %w", err)
	}
	if c.credential != nil {
		if err := os.Chown(passwordFile, int(c.credential.Uid), int(c.credential.Gid)); err != nil {
			return fmt.Errorf("changing owner of password: %w", err)
		}
	}
	initdb := c.command(ctx, "initdb", "--pgdata="+c.data(), "--username=postgres", "--pwfile="+passwordFile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync")
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("running initdb: %w\n%s", err, output)
	}
	return nil
}

// makeDir creates the cluster's directory in TMPDIR. If the programs run as a user who cannot enter
// TMPDIR, it tries other directories.
func (c *cluster) makeDir(ctx context.Context) error {
	bases := []string{os.TempDir()}
	if c.credential != nil {
		bases = append(bases, "/tmp", "/var/tmp")
	}
	var errs []error
	for _, base := range bases {
		base, err := filepath.Abs(base) // the programs run in another directory
		if err != nil {
			return fmt.Errorf("making directory: %w", err)
		}
		if c.dir, err = os.MkdirTemp(base, "mm_postgres_"); err != nil {
			return fmt.Errorf("making directory: %w", err)
		}
		if err = c.changeOwner(ctx); err == nil {
			return nil
		}
		errs = append(errs, errors.Join(err, c.remove()))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// changeOwner gives the directory to the user that the programs run as, and checks that they can
// run in it.
func (c *cluster) changeOwner(ctx context.Context) error {
	if c.credential == nil {
		return nil
	}
	if err := os.Chown(c.dir, int(c.credential.Uid), int(c.credential.Gid)); err != nil {
		return fmt.Errorf("changing owner of directory: %w", err)
	}
	if err := c.command(ctx, "postgres", "--version").Run(); err != nil {
		return fmt.Errorf("running postgres in %s as user %d: %w", c.dir, c.credential.Uid, err)
	}
	return nil
}

// launch starts the server on c.port and waits until it accepts connections.
func (c *cluster) launch(ctx context.Context) error {
	log, err := os.Create(c.logFile())
	if err != nil {
		return fmt.Errorf("making log: %w", err)
	}
	defer log.Close()
	args := append([]string{"-D", c.data(), "-p", strconv.Itoa(c.port)}, flags(settings())...)
	args = append(args, flags(localSettings)...)
	server := c.command(context.Background(), "postgres", args...)
	server.Stdout, server.Stderr = log, log
	if err := c.run(server); err != nil {
		return err
	}
	if _, err := ready(ctx, c.exited, serverURL("127.0.0.1", c.port, c.password)); err != nil {
		return errors.Join(err, c.terminate())
	}
	return nil
}

// run starts the server and waits for its end on one locked thread. On Linux the server gets a
// signal when the thread that started it ends (see tieToParent).
func (c *cluster) run(server *exec.Cmd) error {
	started := make(chan error)
	c.exited = make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := server.Start()
		c.process = server.Process
		started <- err
		if err == nil {
			_ = server.Wait() // the server's log has the cause
			close(c.exited)
		}
	}()
	return <-started
}

// command returns a command in a process group of its own, so that Ctrl-C in the terminal does not
// stop the server before the tests have ended.
func (c *cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, program), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.credential}
	tieToParent(cmd.SysProcAttr)
	return cmd
}

// stop stops the server and removes its files.
func (c *cluster) stop() error {
	return errors.Join(c.terminate(), c.remove())
}

// terminate stops the server: in a fast shutdown, else in an immediate one, else with SIGKILL.
func (c *cluster) terminate() error {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := c.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("signalling postgres: %w", err)
		}
		select {
		case <-c.exited:
			return nil
		case <-time.After(10 * time.Second):
		}
	}
	return errors.New("postgres did not end")
}

func (c *cluster) remove() error {
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("removing cluster: %w", err)
	}
	return nil
}

func (c *cluster) data() string    { return filepath.Join(c.dir, "data") }
func (c *cluster) logFile() string { return filepath.Join(c.dir, "log") }

// log returns the server's log, for error messages.
func (c *cluster) log() []byte {
	log, err := os.ReadFile(c.logFile())
	if err != nil {
		return nil
	}
	return log
}
