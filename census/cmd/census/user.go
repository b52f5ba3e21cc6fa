package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"example.com/micromachine/census"
	"example.com/micromachine/census/internal/postgres"
	"example.com/micromachine/pkg/service"
)

// addUser returns the command that adds a user, such as the first administrator.
func addUser() service.Command {
	var user census.User
	return service.Command{
		Name: "user add", Help: "make a user, straight in the database, and print the URI",
		Settings: []string{"DATABASE_URL", "URL"}, Required: []string{"name", "email"},
		Flags: func(flags *flag.FlagSet) { defineFlags(flags, &user) },
		Run: func(ctx context.Context, rt *service.Runtime) error {
			id, err := createUser(ctx, rt, user)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(rt.Stdout, census.BaseURL(rt.Settings.URL).UserURI(id))
			return err
		},
	}
}

func defineFlags(flags *flag.FlagSet, user *census.User) {
	flags.StringVar(&user.Name, "name", "", "the user's `NAME`")
	flags.StringVar(&user.Email, "email", "", "the user's mail `ADDRESS`")
	flags.StringVar(&user.Locale, "locale", census.DefaultLocale, "a language `TAG`, such as de-AT")
	flags.BoolVar(&user.Admin, "admin", false, "may manage all users")
	flags.Func("id", "use the ID `N`", func(s string) (err error) {
		var ok bool
		if user.ID, ok = census.ParseID(s); !ok {
			err = fmt.Errorf("must be a number from 1 to %d", int64(census.MaxID))
		}
		return err
	})
}

func createUser(ctx context.Context, rt *service.Runtime, user census.User) (id int64, err error) {
	if err := rt.Database.CheckSessions(ctx); err != nil {
		return 0, rt.Explain(err)
	}
	pool, err := rt.Database.Open(ctx, service.LeastConns)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	user, err = postgres.New(pool).CreateUser(ctx, census.Operator(), user)
	if err != nil {
		err = fmt.Errorf("adding user: %w", err)
	}
	if _, invalid := errors.AsType[*census.InvalidError](err); invalid {
		return 0, service.Misuse(err)
	}
	return user.ID, rt.Explain(err)
}
