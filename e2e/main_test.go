// Package e2e tests the built programs from outside, as their users see them: the story, the refusals, and what happens
// when a part fails. It runs against processes on this machine, or with E2E_TARGET=compose against the compose project,
// and uses nothing of the services' internals.
package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"example.com/micromachine/e2e/stack"
)

// sys is the system under test. It is started once; the tests share it and leave it as they found it.
var sys system

// A system is Census, Herald and a mail server, which can fail.
type system interface {
	// callers returns the callers of the trust files; herald is where they find Herald, empty for the usual place.
	callers(herald string) (another, shop, office *stack.Caller, err error)
	// stop ends a service in good order, kill at once, start brings it back; "census", "herald" or "mail".
	stop(ctx context.Context, service string) error
	kill(ctx context.Context, service string) error
	start(ctx context.Context, service string) error
	// rotate runs "svcauth rotate" with these flags on a service's keys.
	rotate(ctx context.Context, service string, flags ...string) error
	// log returns what a service has logged, since it was first started.
	log(ctx context.Context, service string) (string, error)
	// secondHerald starts another Herald on the same database and returns where it listens.
	secondHerald(ctx context.Context) (addr string, stop func() error, err error)
	// mails returns the mails received with that Message-ID, as they were received.
	mails(ctx context.Context, messageID string) ([]string, error)
	close() error
}

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "mm_e2e_")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx := context.Background()
	if os.Getenv("E2E_TARGET") == "compose" {
		sys, err = newCompose(ctx, dir)
	} else {
		sys, err = newProcesses(ctx, dir)
	}
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, sys.close()) }()
	return m.Run(), nil
}
