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

// cluster is a PostgreSQL server run from its programs in a temporary directory.
type cluster struct {
	bin        string
	password   string
	credential *syscall.Credential
	dir        string
	port       int
	process    *os.Process
	exited     chan struct{}
}

// localSettings keep the server to this machine and to the log that we read.
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
		// The port may have been taken since; anything else fails again,
		// and its report is then the one to show.
		if ctx.Err() != nil || portFree(c.port) {
			break
		}
	}
	return fmt.Errorf("starting postgres: %w\n%s", err, c.log())
}

// init makes the directory and the cluster's data in it.
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
			return fmt.Errorf("handing over password: %w", err)
		}
	}
	initdb := c.command(ctx, "initdb", "--pgdata="+c.data(), "--username=postgres", "--pwfile="+passwordFile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync")
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("running initdb: %w\n%s", err, output)
	}
	return nil
}

// makeDir makes the cluster's directory in TMPDIR, or elsewhere where the user
// that the programs run as cannot enter TMPDIR.
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
		if err = c.handOver(ctx); err == nil {
			return nil
		}
		errs = append(errs, errors.Join(err, c.remove()))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// handOver gives the directory to the user that the programs run as, and makes
// sure that the user can enter it.
func (c *cluster) handOver(ctx context.Context) error {
	if c.credential == nil {
		return nil
	}
	if err := os.Chown(c.dir, int(c.credential.Uid), int(c.credential.Gid)); err != nil {
		return fmt.Errorf("handing over directory: %w", err)
	}
	if err := c.command(ctx, "postgres", "--version").Run(); err != nil {
		return fmt.Errorf("running postgres in %s as user %d: %w", c.dir, c.credential.Uid, err)
	}
	return nil
}

// launch starts the server on c.port and returns when it answers.
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

// run starts the server and waits for its end on one thread which it keeps:
// where the server is told of our death (see tieToParent), it is the starting
// thread's death that counts.
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
			_ = server.Wait() // how it ended is in its log
			close(c.exited)
		}
	}()
	return <-started
}

// command makes a command in a process group of its own, so that a Ctrl-C in
// the terminal reaches us and not the server before us.
func (c *cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, program), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.credential}
	tieToParent(cmd.SysProcAttr)
	return cmd
}

// stop ends the server and removes what it wrote.
func (c *cluster) stop() error {
	return errors.Join(c.terminate(), c.remove())
}

// terminate asks the server to end, first in an orderly way, and makes sure that it does.
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

// log is what the server said, for a report of its failure.
func (c *cluster) log() []byte {
	log, err := os.ReadFile(c.logFile())
	if err != nil {
		return nil
	}
	return log
}
