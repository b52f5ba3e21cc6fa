// Command withpostgres runs a command with DATABASE_URL set to a PostgreSQL server. It finds the
// server with [pgtest.Find] and stops it when the command ends:
//
//	withpostgres go test ./...
//
// It passes SIGINT and SIGTERM on to the command. The exit status is the command's, or 128 plus the
// number of the signal that ended it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"example.com/micromachine/pkg/pgtest"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: withpostgres command [argument ...]")
		os.Exit(2)
	}
	status, err := run(os.Args[1:])
	if err != nil {
		logf("%v", err)
		status = 1
	}
	os.Exit(status)
}

// run runs the command and returns its exit status. It returns an error when the command could not
// be run.
func run(command []string) (int, error) {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return 0, fmt.Errorf("finding command: %w", err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	server, err := find(signals)
	if err != nil {
		return 0, err
	}
	defer server.Stop()
	cmd := exec.CommandContext(context.Background(), path, command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "DATABASE_URL="+server.URL)
	// The command runs in a process group of its own. Otherwise Ctrl-C in the terminal would signal
	// it twice: directly and through this process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting command: %w", err)
	}
	return wait(cmd, signals)
}

// find searches for a server until a signal arrives.
func find(signals <-chan os.Signal) (*pgtest.Server, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	found := make(chan struct{})
	defer close(found)
	go func() {
		select {
		case sig := <-signals:
			cancel(fmt.Errorf("%v while searching PostgreSQL", sig))
		case <-found:
		}
	}()
	server, err := pgtest.Find(ctx, logf)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return server, err
}

// wait passes signals on to the command until it ends.
func wait(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			// Kill fails only if the command has just ended.
			if number, ok := sig.(syscall.Signal); ok {
				_ = syscall.Kill(-cmd.Process.Pid, number)
			}
		case err := <-ended:
			return status(err)
		}
	}
}

func status(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if state, ok := exit.Sys().(syscall.WaitStatus); ok && state.Signaled() {
		return 128 + int(state.Signal()), nil
	}
	return exit.ExitCode(), nil
}

func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "withpostgres: "+format+"\n", args...)
}
