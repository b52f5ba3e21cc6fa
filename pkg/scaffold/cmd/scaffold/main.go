// Command scaffold makes a new service, removes one, or renames the repository, in the current
// directory. make runs it; see package scaffold.
//
//	scaffold [--dry-run] new NAME
//	scaffold [--dry-run] remove NAME
//	scaffold [--dry-run] rename [--module MODULE] [--domain DOMAIN]
//
// With --dry-run it prints what would be written. After an error nothing is written, and the exit
// code is 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"example.com/micromachine/pkg/scaffold"
)

const usage = "usage: scaffold [--dry-run] new NAME | remove NAME | rename [--module MODULE] [--domain DOMAIN]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, ".", os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scaffold:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("scaffold", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dryRun := flags.Bool("dry-run", false, "print what would be written")
	if err := flags.Parse(args); err != nil || flags.NArg() == 0 {
		return errors.Join(err, errors.New(usage))
	}
	repository, err := scaffold.Open(root)
	if err != nil {
		return err
	}
	plan, err := makePlan(ctx, repository, flags.Args())
	if err != nil {
		return err
	}
	if flags.Arg(0) == "rename" && !*dryRun {
		fmt.Fprintf(stdout, "change  %d files\n", plan.Len())
	} else {
		plan.Print(stdout)
	}
	for _, note := range plan.Notes {
		fmt.Fprintln(stdout, "note:", note)
	}
	if *dryRun {
		fmt.Fprintln(stdout, "Nothing was written.")
		return nil
	}
	if err := plan.Apply(); err != nil {
		return err
	}
	if flags.Arg(0) == "new" {
		return printNextSteps(root, flags.Arg(1), stdout)
	}
	return nil
}

func makePlan(ctx context.Context, r *scaffold.Repository, args []string) (*scaffold.Plan, error) {
	switch {
	case args[0] == "new" && len(args) == 2:
		return r.NewService(ctx, args[1])
	case args[0] == "remove" && len(args) == 2:
		return r.RemoveService(ctx, args[1])
	case args[0] == "rename":
		flags := flag.NewFlagSet("rename", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		module := flags.String("module", "", "the new path of the module")
		domain := flags.String("domain", "", "the new domain of the services")
		if err := flags.Parse(args[1:]); err == nil && flags.NArg() == 0 {
			return r.Rename(ctx, *module, *domain)
		}
	}
	return nil, errors.New(usage)
}

// printNextSteps prints the commands to try a new service.
func printNextSteps(root, name string, stdout io.Writer) error {
	repository, err := scaffold.Open(root)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "\nNext:")
	for _, command := range repository.NextSteps(name) {
		fmt.Fprintf(stdout, "\n    %s\n", command)
	}
	return nil
}
