package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"example.com/micromachine/pkg/httpserve"
)

// Command is one of a program's commands.
type Command struct {
	// Name is the command's name: one word, or two such as "user add". Required.
	Name string
	// Help says in one line what the command does. Required.
	Help string
	// Settings are the variables of [Settings] that the command reads, without the prefix.
	Settings []string
	// Flags defines the command's flags. Nil: the command takes no arguments.
	Flags func(*flag.FlagSet)
	// Required are the names of the flags that must be given.
	Required []string
	// Run runs the command. Required.
	Run func(ctx context.Context, rt *Runtime) error

	all bool // reads every variable, the service's own too
}

// reads reports whether the command reads a variable of [Settings].
func (c *Command) reads(variable string) bool { return c.all || slices.Contains(c.Settings, variable) }

// commands returns all commands of a service in the order of the usage.
func (d *Definition) commands() []Command {
	commands := []Command{
		{Name: "serve", Help: "run the service until SIGTERM or an interrupt", Run: d.serve, all: true},
		{Name: "migrate", Help: "bring the database up to date", Settings: []string{"DATABASE_URL"}, Run: d.migrate},
	}
	commands = append(commands, d.Commands...)
	return append(commands,
		Command{
			Name: "healthcheck", Help: "ask the service on this machine whether it is ready",
			Settings: []string{"ADMIN_LISTEN"}, Run: healthcheck,
		},
		Command{Name: "help", Help: "print this"})
}

func (d *Definition) migrate(ctx context.Context, rt *Runtime) error {
	return rt.Explain(d.Migrate(ctx, string(rt.Settings.DatabaseURL)))
}

func healthcheck(ctx context.Context, rt *Runtime) error {
	return httpserve.Healthcheck(ctx, rt.Settings.AdminListen)
}

// errHelp is the error of arguments that ask for the usage.
var errHelp = errors.New("the usage is asked for")

// parse returns the command that args begin with, after its flags are set. It returns errHelp when
// args ask for the usage.
func (d *Definition) parse(args []string) (*Command, error) {
	if len(args) == 0 {
		return nil, errors.New("no command")
	}
	command, args, err := d.find(args)
	if err != nil {
		return nil, err
	}
	if command.Flags != nil {
		return command, command.parseFlags(args)
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("%s takes no arguments", command.Name)
	}
	if command.Name == "help" {
		return nil, errHelp
	}
	return command, nil
}

// find splits args into the command that they begin with and the command's arguments.
func (d *Definition) find(args []string) (command *Command, rest []string, err error) {
	name := args[0]
	if slices.Contains([]string{"-h", "-help", "--help"}, name) {
		name = "help"
	}
	unknown := name
	for _, c := range d.commands() {
		first, second, two := strings.Cut(c.Name, " ")
		if first != name {
			continue
		}
		if !two {
			return &c, args[1:], nil
		}
		if len(args) > 1 && second == args[1] {
			return &c, args[2:], nil
		}
		unknown = strings.Join(args[:min(2, len(args))], " ")
	}
	return nil, nil, fmt.Errorf("unknown command %q", unknown)
}

// parseFlags sets the command's flags.
func (c *Command) parseFlags(args []string) error {
	flags := c.flagSet()
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return errHelp
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("%s takes no argument %q", c.Name, flags.Arg(0))
	}
	for _, name := range c.Required {
		if flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("%s needs --%s", c.Name, strings.Join(c.Required, " and --"))
		}
	}
	return nil
}

// flagSet returns the command's flags. It prints nothing by itself.
func (c *Command) flagSet() *flag.FlagSet {
	flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	c.Flags(flags)
	return flags
}
