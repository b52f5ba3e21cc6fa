// Package command is what the services' commands have in common: a main that ends in good order, settings from the
// environment, and errors that say to an operator, a line each, what is wrong.
//
//	func main() { os.Exit(command.Main("census", run)) }
//
//	func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
//		settings, err := command.Settings[serveSettings](environ)
//		if err != nil {
//			return err
//		}
//		...
//	}
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"example.com/micromachine/pkg/logsafe"
)

// A Run does what the arguments say and returns when it is done, or soon after ctx has ended.
type Run func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error

// Main runs a command as the process's own and returns its exit code, see [ExitCode]. The context ends at SIGTERM or an
// interrupt; a second one ends the process at once. An error is told on stderr, each of its lines after the name.
func Main(name string, run Run) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// The standard library logs a few things by itself, such as what a server sends on an idle connection.
	slog.SetDefault(NewLogger(os.Stderr, slog.LevelInfo))
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(os.Stderr, "%s: %s\n", name, strings.TrimSuffix(line, "\n"))
		}
	}
	return ExitCode(err)
}

// NewLogger returns the logger of a service: JSON lines from level on, each by way of package logsafe.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(logsafe.NewHandler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})))
}

// misuse is an error that lies in the command line or the settings.
type misuse struct{ err error }

func (e misuse) Error() string { return e.err.Error() }
func (e misuse) Unwrap() error { return e.err }

// Misuse marks an error as one that lies in the command line or the settings. Nil stays nil.
func Misuse(err error) error {
	if err == nil {
		return nil
	}
	return misuse{err}
}

// ExitCode returns the exit code that a command's error stands for: 0 for none, 2 for a [Misuse], 1 for any other.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, wrong := errors.AsType[misuse](err); wrong {
		return 2
	}
	return 1
}
