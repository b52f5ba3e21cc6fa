package stack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How long a process may take to be ready, and to end after SIGTERM.
const (
	readyWithin = 60 * time.Second
	endWithin   = 30 * time.Second
)

// The pauses between questions whether a process is ready: the first, and the longest. A busy machine is not made busier.
const (
	askFirst = 50 * time.Millisecond
	askLast  = time.Second
)

// A Process is one of the built programs, which can be stopped, killed and started again. Its output goes to a file.
type Process struct {
	program string
	args    []string
	env     []string
	logFile string
	ready   func(context.Context) error

	mu   sync.Mutex
	cmd  *exec.Cmd
	done <-chan struct{} // closed when the process has ended
}

// Start starts the process, unless it runs, and waits until it is ready.
func (p *Process) Start(ctx context.Context) error {
	if p.started() {
		return nil
	}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.program, p.args...)
	cmd.Env = environ(p.env)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C in the terminal is for us; we stop them in order
	tieToParent(cmd.SysProcAttr)
	done, err := launch(cmd)
	if err != nil {
		return fmt.Errorf("starting %s: %w", p.name(), err)
	}
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
	return p.awaitReady(ctx, done)
}

// launch starts cmd and returns a channel that is closed at its end. Start and Wait share one thread, which stays for as
// long: the kernel takes the end of the thread that started a child for the end of its parent.
func launch(cmd *exec.Cmd) (<-chan struct{}, error) {
	done, started := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in ProcessState
			close(done)
		}
	}()
	return done, <-started
}

func (p *Process) name() string { return filepath.Base(p.program) }

func (p *Process) awaitReady(ctx context.Context, done <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for pause := askFirst; ; pause = min(2*pause, askLast) {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("%s ended instead of starting:\n%s", p.name(), p.logTail())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s is not ready after %v: %w:\n%s", p.name(), readyWithin, err, p.logTail()), p.Kill())
		case <-time.After(pause):
		}
	}
}

// Stop sends SIGTERM and waits for the end. A process that does not end, or not with exit code 0, is an error.
func (p *Process) Stop() error {
	cmd, done := p.takeRunning()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself, which the exit code tells
	select {
	case <-done:
	case <-time.After(endWithin):
		return errors.Join(fmt.Errorf("%s did not end within %v of SIGTERM", p.name(), endWithin), p.Kill())
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("%s ended with %v:\n%s", p.name(), cmd.ProcessState, p.logTail())
	}
	return nil
}

// Kill ends the process at once, with SIGKILL.
func (p *Process) Kill() error {
	cmd, done := p.takeRunning()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name(), err)
	}
	<-done
	return nil
}

func (p *Process) started() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil
}

// takeRunning returns the process, which the caller is going to end, or nil where there is none.
func (p *Process) takeRunning() (*exec.Cmd, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := p.cmd
	p.cmd = nil
	return cmd, p.done
}

// Log returns all that the process has printed so far, over all its starts.
func (p *Process) Log() string {
	data, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func (p *Process) logTail() string {
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// freeAddr returns a loopback address that nothing listens on, and that it has not returned before. Its port lies below
// the range that the kernel gives to outgoing connections, so that it is still free when a process that was stopped
// wants it again.
func (s *Stack) freeAddr() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const low, high, tries = 20000, 30000, 100
	for range tries {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(high-low)))
		if err != nil {
			continue
		}
		addr := l.Addr().String()
		if err := l.Close(); err != nil {
			return "", err
		}
		if !slices.Contains(s.addrs, addr) {
			s.addrs = append(s.addrs, addr)
			return addr, nil
		}
	}
	return "", fmt.Errorf("no free port found from %d to %d", low, high)
}
