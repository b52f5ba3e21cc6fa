// Package service is what the programs of all services have in common: settings from the
// environment, the commands serve, migrate, healthcheck and help, its keys and its trust file, its
// database, its two listeners, and graceful shutdown. A service's own program is a
// [Definition]:
//
//	func main() { os.Exit(service.Main(definition())) }
//
//	func definition() service.Definition {
//		return service.Definition{
//			Name: "greeter", AdminListen: "127.0.0.1:9445",
//			Conns:   service.Conns{Default: service.DefaultConns, Least: service.LeastConns},
//			Migrate: migrations.Up,
//			Serve: func(_ context.Context, rt *service.Runtime) (service.Parts, error) {
//				store := postgres.New(rt.Pool)
//				api := server.New(server.Config{API: rt.API(), Store: store})
//				return service.Parts{Handler: api, Ready: store.Ready}, nil
//			},
//		}
//	}
//
// To follow a program from its start: [Main] and [Run] here, the choice of the command in
// command.go, its settings in settings.go and environment.go, and for serve runtime.go and
// serve.go.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"example.com/micromachine/pkg/logsafe"
)

// Definition describes a service. It is used for one [Run], because its functions may share
// variables that hold the service's own settings.
type Definition struct {
	// Name is the name of the program, such as "census". The variables then begin with CENSUS_, and
	// the default of CENSUS_URL is https://census.service/. A dash in the name is _ in the variables.
	// Required.
	Name string
	// AdminListen is the default of the variable ADMIN_LISTEN. Required.
	AdminListen string
	// Conns is the number of database connections. Required.
	Conns Conns
	// Migrate migrates the database to the newest version. Required.
	Migrate func(ctx context.Context, databaseURL string) error
	// Commands are the service's own commands. Nil: none.
	Commands []Command

	// Settings points to a struct of the service's own settings, which serve reads. Its fields have
	// the same tags as those of [Settings]. Nil: none.
	Settings any
	// Check returns all faults of the service's own settings. Each begins with the name of its
	// variable. Nil: no check.
	Check func(common Settings) []error
	// Open opens what the service needs beside the database and its keys. Its errors begin with the
	// name of their variable and are reported together with those of the key and trust files. Nil:
	// nothing.
	Open func(rt *Runtime) error
	// Serve makes the parts of the service that run until it is stopped. Required.
	Serve func(ctx context.Context, rt *Runtime) (Parts, error)
}

// The numbers of [Conns] of a service whose requests use one connection each. The default of pgx,
// four on a small machine, makes requests wait for each other. The check for a connection pooler
// uses two connections.
const (
	DefaultConns = 16
	LeastConns   = 2
)

// Conns is how many database connections a process opens.
type Conns struct {
	// Default is their number when pool_max_conns is not set, Least the smallest number that works.
	Default, Least int32
	// Requests returns how many of them are for [Runtime.Pool]. Nil: all.
	Requests func(total int32) int32
}

// gcPercent is the default of GOGC: how far the heap may grow between two garbage collections, in
// percent of the data in use. A service has little data in use, so with Go's default of 100 it would
// collect many times a second under load.
const gcPercent = 400

// Main runs a service's program as this process and returns its exit code, see [ExitCode]. SIGTERM
// or an interrupt stops it in order; a second one ends it at once. An error is printed on stderr,
// each of its lines after the program's name. The default of the environment variable GOGC is 400.
func Main(d Definition) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// The standard library logs some events itself, such as data from a server on an idle connection.
	slog.SetDefault(newLogger(os.Stderr, slog.LevelInfo))
	err := Run(ctx, d, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(os.Stderr, "%s: %s\n", d.Name, strings.TrimSuffix(line, "\n"))
		}
	}
	return ExitCode(err)
}

// Run runs the command that args begin with. It returns when the command is done, or soon after ctx
// has ended. environ is the whole environment, as [os.Environ] returns it.
func Run(ctx context.Context, d Definition, args, environ []string, stdout, stderr io.Writer) error {
	command, err := d.parse(args)
	if errors.Is(err, errHelp) {
		_, err := io.WriteString(stdout, Usage(d))
		return err
	}
	if err != nil {
		_, _ = io.WriteString(stderr, Usage(d)+"\n") // the caller prints the error itself
		return Misuse(err)
	}
	rt, err := d.read(command, environ)
	if err != nil {
		return err
	}
	rt.Stdout, rt.Logger = stdout, newLogger(stderr, rt.Settings.level)
	return command.Run(ctx, rt)
}

// newLogger returns a logger that writes JSON lines from a level on. Text passes through package
// logsafe.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(logsafe.NewHandler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})))
}

// misuse is an error in the command line or the settings.
type misuse struct{ err error }

func (e misuse) Error() string { return e.err.Error() }
func (e misuse) Unwrap() error { return e.err }

// Misuse marks an error as one in the command line or the settings. Nil stays nil.
func Misuse(err error) error {
	if err == nil {
		return nil
	}
	return misuse{err}
}

// ExitCode returns the exit code for a command's error: 0 for none, 2 for a [Misuse], 1 for any
// other.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, wrong := errors.AsType[misuse](err); wrong {
		return 2
	}
	return 1
}
