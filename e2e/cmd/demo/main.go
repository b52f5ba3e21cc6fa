// Command demo shows the article's story with the real programs. A service asks Herald for a
// welcome mail, Herald asks Census for the address, and the mail arrives. Then it shows several
// attacks and the responses to them. It runs until it is interrupted. With -once it ends after the
// story. The exit code is 1 when a check failed.
//
//	demo [-once]
//	demo setup DIR    create the keys, certificates and trust files for compose
//	demo seed DIR     add the story's users to a running Census, with the callers' keys in DIR
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"example.com/micromachine/e2e/stack"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a write to a broken connection would also cause it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the built programs: %w", err)
	}
	binDir := filepath.Dir(program)
	switch {
	case len(args) == 2 && args[0] == "setup":
		return stack.Prepare(ctx, binDir, args[1])
	case len(args) == 2 && args[0] == "seed":
		return seed(ctx, binDir, args[1])
	}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	once := flags.Bool("once", false, "end after the story")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return errors.Join(err, errors.New("usage: demo [-once] | demo setup DIR | demo seed DIR"))
	}
	return demo(ctx, binDir, *once)
}

// seed adds the users to a Census that is reached at its own name. The settings of Census's
// database are in the environment.
func seed(ctx context.Context, binDir, dir string) error {
	_, _, office, err := stack.NewCallers(dir, "")
	if err != nil {
		return err
	}
	return stack.AddUsers(ctx, filepath.Join(binDir, "census"), nil, office)
}

// demo starts the system, plays the story, and stops the system.
func demo(ctx context.Context, binDir string, once bool) (err error) {
	files, err := claimWorkspace(".demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.release()) }()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	exchanges := &exchangeLog{}
	p := &printer{out: notifyingWriter{os.Stdout, cancel}}
	p.title("Setting up")
	system, err := stack.Start(ctx, stack.Config{BinDir: binDir, Dir: files.dir, Logf: p.line, TapCensus: exchanges.add})
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, system.Close()) }()

	s := &story{printer: p, Stack: system, exchanges: exchanges}
	if err := s.play(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if err := system.WriteEnv(files.envFile); err != nil {
		return err
	}
	if !once {
		s.printNextSteps(binDir, files.envFile)
		<-ctx.Done()
		p.title("Stopping")
	}
	return s.failed()
}

// interrupted replaces an error that Ctrl-C has caused.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}
