// Command herald runs Herald, the service that notifies users by mail, and looks
// after its database.
//
//	herald migrate
//	herald serve
package main

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/herald/internal/delivery"
	"example.com/micromachine/herald/internal/server"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/command"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/pgreplay"
	"example.com/micromachine/pkg/svcauth/svcauthprom"
)

func main() { os.Exit(command.Main("herald", run)) }

// run does what the arguments say and returns when it is done.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	name, err := parseCommand(args)
	if err != nil {
		_, _ = io.WriteString(stderr, usage+"\n") // the error itself is told by main
		return command.Misuse(err)
	}
	switch name {
	case "serve":
		return serve(ctx, environ, stderr)
	case "migrate":
		return migrate(ctx, environ)
	case "healthcheck":
		return healthcheck(ctx, environ)
	default:
		_, err := io.WriteString(stdout, usage)
		return err
	}
}

func migrate(ctx context.Context, environ []string) error {
	settings, err := command.Settings[databaseSettings](environ)
	if err != nil {
		return err
	}
	return explain(migrations.Up(ctx, settings.URL))
}

// explain returns an error of the database for whoever runs a command.
func explain(err error) error {
	if errors.Is(err, database.ErrTransactionPooling) {
		return command.Misuse(inDatabaseURL(err))
	}
	return database.Explain(err)
}

func healthcheck(ctx context.Context, environ []string) error {
	settings, err := command.Settings[adminSettings](environ)
	if err != nil {
		return err
	}
	return httpserve.Healthcheck(ctx, settings.Listen)
}

// serve runs the service until ctx ends. It starts without its database, Census
// and the mail server, and is not ready while the first cannot be reached.
func serve(ctx context.Context, environ []string, stderr io.Writer) error {
	settings, err := command.Settings[serveSettings](environ)
	if err != nil {
		return err
	}
	log := command.NewLogger(stderr, settings.LogLevel)
	sessions := settings.Database.Config.CheckSessions(ctx)
	if errors.Is(sessions, database.ErrTransactionPooling) {
		return explain(sessions)
	}
	db, err := openDatabase(ctx, settings.Database.Config)
	if err != nil {
		return err
	}
	defer db.close()
	replay := pgreplay.New(db.requests)
	others, err := meet(settings, replay, log)
	if err != nil {
		return command.Misuse(err)
	}
	defer others.close()
	backlog := delivery.NewBacklog()
	deliveries, err := delivery.New(delivery.Config{
		Pool: db.jobs, Store: db.jobStore, Requests: db.store, Process: db.process, Backlog: backlog,
		Census: others.census, Mail: others.mail, Logger: log,
	})
	if err != nil {
		return err
	}
	api := server.New(server.Config{
		URL: settings.URL, CensusURL: settings.CensusURL, Store: db.store, Census: others.census,
		Deliveries: deliveries, Backlog: backlog, Verifier: others.verifier, Keys: others.keys, Logger: log,
	})
	clock := database.NewClock(db.requests, svcauth.Leeway)
	ready := httpserve.NewReadiness(log, map[string]httpserve.Check{
		"database": database.NewCheck(db.store.Ready).Run, "deliveries": deliveries.Ready, "clock": clock.Check,
	})
	operators := httpserve.AdminHandler(ready, svcauthprom.NewCollector(others.verifier), clock.Metric())
	public, admin, err := listen(settings, api, operators, ready, log)
	if err != nil {
		return command.Misuse(err)
	}
	log.Info("listening", "addr", public.Addr().String(), "admin_addr", admin.Addr().String())

	// When ctx ends, requests are answered and mails finished side by side.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return httpserve.Run(ctx, public, admin) })
	group.Go(func() error { return deliveries.Run(ctx) })
	group.Go(func() error { replay.Run(ctx, log); return nil })
	group.Go(func() error { clock.Run(ctx, log); return nil })
	if sessions != nil { // the database was not there
		group.Go(func() error { return explain(settings.Database.Config.AwaitSessions(ctx)) })
	}
	return group.Wait()
}
