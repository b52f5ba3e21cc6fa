// Package proc starts and stops the measured processes and reads their CPU time.
package proc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	readyWithin = 20 * time.Second
	stopWithin  = 30 * time.Second
)

// A Process is a running child process. Its output is written to a file.
type Process struct {
	cmd     *exec.Cmd
	logFile string
	done    chan struct{} // closed when the process has ended
	killed  bool
}

// A Command configures [Start].
type Command struct {
	Program string
	Args    []string
	Env     []string // added to this process's environment
	LogFile string   // for standard output and standard error
	// Ready returns nil when the process is ready.
	Ready func(context.Context) error
}

// Start starts a process and waits until it is ready.
func Start(ctx context.Context, c Command) (*Process, error) {
	log, err := os.Create(c.LogFile)
	if err != nil {
		return nil, fmt.Errorf("creating log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(c.Program, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	p := &Process{cmd: cmd, logFile: c.LogFile, done: make(chan struct{})}
	if err := p.launch(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(c.Program), err)
	}
	if err := p.awaitReady(ctx, c.Ready); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// launch starts the command. One thread calls Start and Wait, and lives as long as the child,
// because the kernel sends the signal of tieToParent when the thread that started the child ends.
func (p *Process) launch() error {
	tieToParent(p.cmd)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // the exit code is in ProcessState
			close(p.done)
		}
	}()
	return <-started
}

func (p *Process) awaitReady(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended instead of starting:\n%s", p.cmd.Path, p.log())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w\n%s", p.cmd.Path, readyWithin, err, p.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// PID returns the process's ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill kills the process. A later Stop returns nil.
func (p *Process) Kill() {
	p.killed = true
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// Stop sends SIGTERM and waits for the process to end. After 30 s it sends SIGKILL. It returns an
// error if the exit code is not zero.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only if the process has ended
	select {
	case <-p.done:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	if state := p.cmd.ProcessState; !p.killed && !state.Success() {
		return fmt.Errorf("%s ended with %v:\n%s", p.cmd.Path, state, p.log())
	}
	return nil
}

// log returns the end of the process's output.
func (p *Process) log() []byte {
	const maxBytes = 4 << 10
	out, err := os.ReadFile(p.logFile)
	if err != nil {
		return []byte(err.Error())
	}
	return out[max(0, len(out)-maxBytes):]
}

// Listening returns a readiness check for a process that accepts connections at an address.
func Listening(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// FreeAddr returns a loopback address on which nothing listens.
func FreeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
