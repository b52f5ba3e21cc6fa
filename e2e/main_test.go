// Package e2e tests the built programs from outside: the article's story, the refusals, and the
// behaviour when a part fails. It runs against processes on this machine, or with
// E2E_TARGET=compose against the compose project. It uses no internals of the services.
package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"example.com/micromachine/e2e/stack"
)

// sys is the system under test. It is started once. The tests share it and restore it.
var sys system

// A system is Census, Herald and a mail server. Each of them can be stopped.
type system interface {
	// callers returns the callers that the trust files name. herald is the address of Herald; empty
	// selects the first Herald.
	callers(herald string) (another, shop, office *stack.Caller, err error)
	// heraldAddr returns the address of the first Herald.
	heraldAddr() string
	// stop stops a service with SIGTERM, kill with SIGKILL. start starts it again. A service is one
	// of [stack.Services], or "mail".
	stop(ctx context.Context, service string) error
	kill(ctx context.Context, service string) error
	start(ctx context.Context, service string) error
	// rotate runs "svcauth rotate" with the flags on a service's keys.
	rotate(ctx context.Context, service string, flags ...string) error
	// log returns a service's log since its first start.
	log(ctx context.Context, service string) (string, error)
	// secondHerald starts another Herald on the same database and returns its address.
	secondHerald(ctx context.Context) (addr string, stop func() error, err error)
	// mails returns the received mails with a Message-ID, unchanged.
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
