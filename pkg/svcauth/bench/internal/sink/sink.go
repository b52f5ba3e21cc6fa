package sink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"example.com/micromachine/pkg/svcauth/bench/internal/proc"
)

// Command is the argument that makes this program run as the mail server. The address and the delay
// follow it.
const Command = "sink"

// A Sink is a running mail server.
type Sink struct {
	Addr string

	cmd   *exec.Cmd
	stdin io.Closer
	ended chan error

	mu     sync.Mutex
	onMail func(user int, at time.Time)
}

// Start starts the mail server in a process of its own.
func Start(ctx context.Context, delay time.Duration) (*Sink, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding own program: %w", err)
	}
	addr, err := proc.FreeAddr()
	if err != nil {
		return nil, err
	}
	s := &Sink{Addr: addr, cmd: exec.Command(program, Command, addr, delay.String()), ended: make(chan error, 1)}
	s.cmd.Stderr = os.Stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting mail server: %w", err)
	}
	reports, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting mail server: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting mail server: %w", err)
	}
	go func() { s.ended <- errors.Join(s.read(reports), s.cmd.Wait()) }()
	for proc.Listening(addr)(ctx) != nil {
		select {
		case err := <-s.ended:
			return nil, fmt.Errorf("the mail server has ended: %w", err)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.Close())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return s, nil
}

// Report sets a function that is called for each mail from now on. Nil: none.
func (s *Sink) Report(onMail func(user int, at time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onMail = onMail
}

func (s *Sink) read(reports io.Reader) error {
	lines := bufio.NewScanner(reports)
	for lines.Scan() {
		var user int
		var at int64
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &user, &at); err != nil {
			return fmt.Errorf("reading the mail server's report: %w", err)
		}
		s.mu.Lock()
		onMail := s.onMail
		s.mu.Unlock()
		if onMail != nil {
			onMail(user, time.Unix(0, at))
		}
	}
	return lines.Err()
}

// Close stops the mail server.
func (s *Sink) Close() error {
	return errors.Join(s.stdin.Close(), <-s.ended)
}
