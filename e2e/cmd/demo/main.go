// Command demo plays the article's story on the real programs and shows it: a service asks Herald for a welcome mail,
// Herald asks Census for the address, the mail arrives; then attacks, and what each of them got. It stays up until it is
// interrupted; with -once it ends after the story, with exit code 1 when anything was not as it should be.
//
//	demo [-once]
//	demo setup DIR    make the keys, certificates and trust files for compose
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
	signal.Ignore(syscall.SIGPIPE) // which a peer that breaks a connection would cause, too
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

// seed adds the users to a Census that is reached by its own name, with the settings of its database in the environment.
func seed(ctx context.Context, binDir, dir string) error {
	_, _, office, err := stack.NewCallers(dir, "")
	if err != nil {
		return err
	}
	return stack.AddUsers(ctx, filepath.Join(binDir, "census"), nil, office)
}

// demo brings everything up, plays the story, and takes everything down again.
func demo(ctx context.Context, binDir string, once bool) (err error) {
	place, err := claimPlace(".demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.release()) }()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wire := &wire{}
	p := &printer{out: watched{os.Stdout, cancel}}
	p.title("Setting up")
	system, err := stack.Start(ctx, stack.Config{BinDir: binDir, Dir: place.dir, Logf: p.line, TapCensus: wire.add})
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, system.Close()) }()

	s := &story{printer: p, Stack: system, wire: wire}
	if err := s.play(ctx); err != nil {
		return interrupted(ctx, err)
	}
	if err := system.WriteEnv(place.envFile); err != nil {
		return err
	}
	if !once {
		s.invite(binDir, place.envFile)
		<-ctx.Done()
		p.title("Stopping")
	}
	return s.verdict()
}

// interrupted makes of an error that Ctrl-C has caused one that says so.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}
