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

// The time limits of a start, and of the end after SIGTERM.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// The bounds of the exponential backoff between checks whether a process is ready.
const (
	minPoll = 50 * time.Millisecond
	maxPoll = time.Second
)

// A Process is a built program that can be stopped, killed and started again. Its output goes to a
// file. It is safe for concurrent use, except that Start is called by one goroutine at a time.
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

// Start starts the process, unless it is running, and waits until it is ready.
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // keeps Ctrl-C in the terminal from reaching the process
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

// launch starts cmd and returns a channel that is closed when cmd ends. Start and Wait share one
// locked thread: the kernel sends the parent-death signal when the thread that started the child
// ends.
func launch(cmd *exec.Cmd) (<-chan struct{}, error) {
	done, started := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // ProcessState has the result
			close(done)
		}
	}()
	return done, <-started
}

func (p *Process) name() string { return filepath.Base(p.program) }

func (p *Process) awaitReady(ctx context.Context, done <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for pause := minPoll; ; pause = min(2*pause, maxPoll) {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("%s ended instead of starting:\n%s", p.name(), p.logTail())
		case <-ctx.Done():
			err = fmt.Errorf("%s is not ready after %v: %w:\n%s", p.name(), startTimeout, err, p.logTail())
			return errors.Join(err, p.Kill())
		case <-time.After(pause):
		}
	}
}

// Stop sends SIGTERM and waits for the end. The error says that the process did not end in time or
// that its exit code was not 0.
func (p *Process) Stop() error {
	cmd, done := p.takeRunning()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // if the process has ended already, the exit code shows it
	select {
	case <-done:
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("%s did not end within %v of SIGTERM", p.name(), stopTimeout), p.Kill())
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("%s ended with %v:\n%s", p.name(), cmd.ProcessState, p.logTail())
	}
	return nil
}

// Kill sends SIGKILL and waits for the end.
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

// takeRunning returns the running process, or nil. The process then counts as not started, and the
// caller ends it.
func (p *Process) takeRunning() (*exec.Cmd, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := p.cmd
	p.cmd = nil
	return cmd, p.done
}

// Log returns the output of the process, over all its starts.
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

// freeAddr returns a loopback address with a free port, and each address only once. The port is
// below the range for outgoing connections, so that it is still free when a stopped process starts
// again.
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
