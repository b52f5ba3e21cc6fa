// Command withpostgres runs a command with DATABASE_URL set to a PostgreSQL
// server, which it finds as pgtest.Find does and stops afterwards:
//
//	withpostgres go test ./...
//
// An interrupt or SIGTERM is passed on to the command. The exit status is the
// command's; 128 and the signal's number when a signal ended it.
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

// run returns the command's exit status, or an error when it could not be run.
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
	// With a process group of its own the command and its children get each
	// signal once, from us: a Ctrl-C in the terminal would reach them twice.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting command: %w", err)
	}
	return wait(cmd, signals)
}

// find searches until a signal comes.
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

// wait passes signals on until the command ends.
func wait(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			// An error means that the command has just ended.
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
