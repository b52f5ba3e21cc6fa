// Command bench compares package svcauth with similar libraries and with the plain cryptography,
// and the running pair of Census and Herald with a simple implementation of the same chain. It
// prints one table of ratios:
//
//	DATABASE_URL=postgres://… go run .
//	DATABASE_URL=postgres://… go run . -only chain -rounds 3
//	DATABASE_URL=postgres://… go run . -only chain -ours DIR      with the programs in DIR
//	DATABASE_URL=postgres://… go run . -only chain -before DIR    also with another commit's, in DIR
//
// The compared sides run in alternating rounds, so that other load on the machine affects all of
// them. A ratio is the median of the ratios of all rounds. The command is a module of its own, so
// that users of the library do not download the compared libraries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/micromachine/pkg/svcauth/bench/internal/plain"
	"example.com/micromachine/pkg/svcauth/bench/internal/sink"
)

// options are the command's flags.
type options struct {
	tokens int
	strict bool
	scale  bool
	only   []string
	binDir string
	// beforeDir has the programs of another commit to compare with. Empty: none.
	beforeDir string
	rounds    int
	window    time.Duration
	// tunedPool is the size of the tuned chain's database pools. Zero: the default of pgx.
	tunedPool int
}

func parseOptions() (o options, err error) {
	flag.IntVar(&o.tokens, "tokens", 1_000_000, "number of distinct tokens to verify in section memory; 0 skips it")
	flag.BoolVar(&o.strict, "strict", false, "exit with status 1 when a goal is missed")
	flag.BoolVar(&o.scale, "scale", false, "also measure with a million users and 500,000 old notifications")
	only := flag.String("only", "",
		"measure only these sections, separated by commas: "+strings.Join(sectionNames(), ", "))
	flag.StringVar(&o.binDir, "ours", filepath.Join("..", "..", "..", ".bin"),
		"directory with the built census, herald and svcauth")
	flag.StringVar(&o.beforeDir, "before", "",
		"directory with the programs of another commit, to compare with in sections chain and latency")
	flag.IntVar(&o.rounds, "rounds", 5, "number of rounds in which the running services are measured")
	flag.DurationVar(&o.window, "window", 4*time.Second, "time for which each side is measured in a round")
	flag.IntVar(&o.tunedPool, "tuned-pool", 0, "size of the database pools of the tuned chain; 0 is the default of pgx")
	flag.Parse()
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(sectionNames(), name) {
			return o, fmt.Errorf("no section %q", name)
		}
	}
	if o.binDir, err = filepath.Abs(o.binDir); err == nil && o.beforeDir != "" {
		o.beforeDir, err = filepath.Abs(o.beforeDir)
	}
	return o, err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	missed, err := dispatch(ctx)
	stop()
	if err != nil {
		progress("%v", err)
		os.Exit(1)
	}
	if missed > 0 {
		os.Exit(1)
	}
}

// dispatch runs the program as one of the measured processes, or measures. With -strict it returns
// the number of missed goals.
func dispatch(ctx context.Context) (missed int, err error) {
	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == plain.CensusCommand:
		return 0, plain.RunCensus(ctx)
	case len(args) == 1 && args[0] == plain.HeraldCommand:
		return 0, plain.RunHerald(ctx)
	case len(args) == 3 && args[0] == sink.Command:
		delay, err := time.ParseDuration(args[2])
		if err != nil {
			return 0, err
		}
		return 0, sink.Serve(args[1], delay)
	}
	o, err := parseOptions()
	if err != nil {
		return 0, err
	}
	missed, err = measure(ctx, o)
	if missed > 0 {
		progress("goals missed: %d", missed)
	}
	if !o.strict {
		missed = 0
	}
	return missed, err
}

// A section is a part of the table.
type section struct {
	name    string
	measure func(context.Context, *bench) ([]row, error)
}

// A bench has the options and resources of the sections.
type bench struct {
	options
	databaseURL string
	world       *world
	rig         *rig
}

// scaleSection takes minutes to fill its databases.
const scaleSection = "scale"

func sections() []section {
	running := func(measure func(context.Context, *rig) ([]row, error)) func(context.Context, *bench) ([]row, error) {
		return func(ctx context.Context, b *bench) ([]row, error) { return measure(ctx, b.rig) }
	}
	return []section{
		{"verification", func(ctx context.Context, b *bench) ([]row, error) { return verification(ctx, b.world) }},
		{"signing", func(ctx context.Context, b *bench) ([]row, error) { return signing(ctx, b.world) }},
		{"service", func(ctx context.Context, b *bench) ([]row, error) { return service(ctx, b.world, b.databaseURL) }},
		{"memory", func(ctx context.Context, b *bench) ([]row, error) { return memory(ctx, b.world, b.tokens) }},
		{"chain", running(chain)},
		{"latency", running(latency)},
		{"alone", running(alone)},
		{"accept", running(accept)},
		{"overload", running(overload)},
		{"census", running(censusGet)},
		{"idle", running(idleHerald)},
		{scaleSection, running(scale)},
	}
}

func sectionNames() (names []string) {
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return names
}

// wants reports whether a section is selected.
func (o options) wants(section string) bool {
	if len(o.only) > 0 {
		return slices.Contains(o.only, section)
	}
	return section != scaleSection || o.scale
}

// measure measures the selected sections, prints the table and returns the number of missed goals.
func measure(ctx context.Context, o options) (missed int, err error) {
	databaseURL := os.Getenv("DATABASE_URL")
	if databaseURL == "" {
		return 0, errors.New("DATABASE_URL is not set: it must name a PostgreSQL server, as a user who may create databases")
	}
	w, err := newWorld()
	if err != nil {
		return 0, fmt.Errorf("setting up: %w", err)
	}
	defer w.close()
	b := &bench{options: o, databaseURL: databaseURL, world: w, rig: newRig(o)}
	defer func() { err = errors.Join(err, b.rig.close()) }()
	t, err := b.table(ctx)
	fmt.Printf("%s/%s, %d CPUs, %s\n\n", runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version())
	t.print(os.Stdout)
	return t.missed(), err
}

// table measures the selected sections. If it returns an error, the table has the rows measured
// before.
func (b *bench) table(ctx context.Context) (t table, err error) {
	for _, s := range sections() {
		if !b.wants(s.name) {
			continue
		}
		progress("measuring %s", s.name)
		rows, err := s.measure(ctx, b)
		if err != nil {
			return t, fmt.Errorf("measuring %s: %w", s.name, err)
		}
		t = append(t, rows...)
	}
	return t, nil
}

// progress writes a message to the standard error. Only the table goes to the standard output.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
