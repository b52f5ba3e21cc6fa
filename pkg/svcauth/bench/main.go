// Command bench measures package svcauth beside its peers and beside the bare work it stands on, and prints one table
// of ratios:
//
//	DATABASE_URL=postgres://… go run .
//
// All that is compared runs in the same process, in rounds that take turns, so that what else the machine does falls on
// every side alike; a ratio is the median of the rounds' ratios. It is a module of its own, so that nobody who uses the
// library downloads the peers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	tokens := flag.Int("tokens", 1_000_000, "how many distinct tokens the measurement of memory verifies; 0 leaves it out")
	strict := flag.Bool("strict", false, "exit with status 1 when a goal is missed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	missed, err := run(ctx, *tokens)
	stop()
	if err != nil {
		progress("%v", err)
		os.Exit(1)
	}
	if missed > 0 {
		progress("goals missed: %d", missed)
		if *strict {
			os.Exit(1)
		}
	}
}

// run measures everything, prints the table, and returns how many goals are missed.
func run(ctx context.Context, tokens int) (missed int, err error) {
	databaseURL := os.Getenv("DATABASE_URL")
	if databaseURL == "" {
		return 0, errors.New("DATABASE_URL is not set: it names a PostgreSQL server on which a schema may be made")
	}
	w, err := newWorld()
	if err != nil {
		return 0, fmt.Errorf("setting up: %w", err)
	}
	defer w.close()
	var t table
	for _, part := range []struct {
		what    string
		measure func(context.Context) ([]row, error)
	}{
		{"verification", func(ctx context.Context) ([]row, error) { return verification(ctx, w) }},
		{"signing", func(ctx context.Context) ([]row, error) { return signing(ctx, w) }},
		{"service", func(ctx context.Context) ([]row, error) { return service(ctx, w, databaseURL) }},
		{"memory", func(ctx context.Context) ([]row, error) { return memory(ctx, w, tokens) }},
	} {
		progress("measuring %s", part.what)
		rows, err := part.measure(ctx)
		if err != nil {
			return 0, fmt.Errorf("measuring %s: %w", part.what, err)
		}
		t = append(t, rows...)
	}
	fmt.Printf("%s/%s, %d CPUs, %s\n\n", runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version())
	t.print(os.Stdout)
	return t.missed(), nil
}

// progress tells whoever waits what is going on; the table alone goes to the standard output.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
