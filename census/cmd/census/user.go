package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"example.com/micromachine/census"
	"example.com/micromachine/census/internal/postgres"
	"example.com/micromachine/pkg/command"
)

// addUser adds a user straight to the database and prints the URI.
func addUser(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	user, err := parseUser(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(stdout, usage)
		return err
	}
	if err != nil {
		return wrongUsage(stderr, err)
	}
	settings, err := command.Settings[addUserSettings](environ)
	if err != nil {
		return err
	}
	if err := settings.Database.Config.CheckSessions(ctx); err != nil {
		return explain(err)
	}
	pool, err := settings.Database.Config.Open(ctx, postgres.LeastConns)
	if err != nil {
		return err
	}
	defer pool.Close()
	user, err = postgres.New(pool).CreateUser(ctx, census.Operator(), user)
	if err != nil {
		err = fmt.Errorf("adding user: %w", err)
		if _, invalid := errors.AsType[*census.InvalidError](err); invalid {
			return command.Misuse(err)
		}
		return explain(err)
	}
	_, err = fmt.Fprintln(stdout, settings.Name.URL.UserURI(user.ID))
	return err
}

func parseUser(args []string) (user census.User, err error) {
	flags := flag.NewFlagSet("user add", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&user.Name, "name", "", "")
	flags.StringVar(&user.Email, "email", "", "")
	flags.StringVar(&user.Locale, "locale", census.DefaultLocale, "")
	flags.BoolVar(&user.Admin, "admin", false, "")
	flags.Func("id", "", func(s string) (err error) {
		var ok bool
		if user.ID, ok = census.ParseID(s); !ok {
			err = fmt.Errorf("must be a number from 1 to %d", int64(census.MaxID))
		}
		return err
	})
	switch err := flags.Parse(args); {
	case err != nil:
		return user, err
	case flags.NArg() > 0:
		return user, fmt.Errorf("user add takes no argument %q", flags.Arg(0))
	case user.Name == "" || user.Email == "":
		return user, errors.New("user add needs --name and --email")
	}
	return user, nil
}
