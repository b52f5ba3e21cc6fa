// Command bench measures package svcauth beside its peers and beside the bare work it stands on, and the running pair of
// Census and Herald beside the chain that a good engineer would write first. It prints one table of ratios:
//
//	DATABASE_URL=postgres://… go run .
//	DATABASE_URL=postgres://… go run . -only chain -rounds 3
//	DATABASE_URL=postgres://… go run . -only chain -ours DIR      with the programs built in DIR
//	DATABASE_URL=postgres://… go run . -only chain -before DIR    beside the programs that another commit built in DIR
//
// All that is compared runs in rounds that take turns, so that what else the machine does falls on every side alike; a
// ratio is the median of the rounds' ratios. It is a module of its own, so that nobody who uses the library downloads the
// peers.
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
	// beforeDir holds the programs of another commit; empty: there is none to compare with.
	beforeDir string
	rounds    int
	window    time.Duration
	// tunedPool is the size of the tuned chain's database pools; 0 is the default of pgx.
	tunedPool int
}

func parseOptions() (o options, err error) {
	flag.IntVar(&o.tokens, "tokens", 1_000_000, "how many distinct tokens the measurement of memory verifies; 0 leaves it out")
	flag.BoolVar(&o.strict, "strict", false, "exit with status 1 when a goal is missed")
	flag.BoolVar(&o.scale, "scale", false, "measure with a million users and 500,000 old notifications, too")
	only := flag.String("only", "", "measure these sections alone, separated by commas: "+strings.Join(sectionNames(), ", "))
	flag.StringVar(&o.binDir, "ours", filepath.Join("..", "..", "..", ".bin"), "the directory of the built census, herald and svcauth")
	flag.StringVar(&o.beforeDir, "before", "", "a directory of the same programs of another commit, to compare with in chain and latency")
	flag.IntVar(&o.rounds, "rounds", 5, "how many rounds the running services are measured in")
	flag.DurationVar(&o.window, "window", 4*time.Second, "how long each side is measured in each of these rounds")
	flag.IntVar(&o.tunedPool, "tuned-pool", 0, "how many database connections each service of the tuned chain may have; 0 is the default of pgx")
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

// dispatch runs as one of the processes that are measured, or measures. With -strict it returns how many goals are missed.
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

// A bench is what the sections need.
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

// wants says whether a section is to be measured.
func (o options) wants(section string) bool {
	if len(o.only) > 0 {
		return slices.Contains(o.only, section)
	}
	return section != scaleSection || o.scale
}

// measure measures what the options ask for, prints the table, and returns how many goals are missed.
func measure(ctx context.Context, o options) (missed int, err error) {
	databaseURL := os.Getenv("DATABASE_URL")
	if databaseURL == "" {
		return 0, errors.New("DATABASE_URL is not set: it names a PostgreSQL server on which databases may be made")
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

// table measures the sections that the options ask for. With an error it returns what was measured before.
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

// progress tells whoever waits what is going on; the table alone goes to the standard output.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
