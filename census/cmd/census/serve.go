package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/census/internal/postgres"
	"example.com/micromachine/census/internal/server"
	"example.com/micromachine/pkg/command"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/pgreplay"
	"example.com/micromachine/pkg/svcauth/svcauthprom"
)

// serve runs the service until ctx ends. It starts without its database, and is
// not ready while that cannot be reached.
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
	pool, err := settings.Database.Config.Open(ctx, settings.Database.Config.MaxConns(postgres.MaxConns))
	if err != nil {
		return err
	}
	defer database.Close(pool)
	replay := pgreplay.New(pool)
	own, verifier, err := trust(settings, replay, log)
	if err != nil {
		return command.Misuse(err)
	}
	defer verifier.Close()
	store := postgres.New(pool)
	api := server.New(server.Config{URL: settings.Name.URL, Store: store, Verifier: verifier, Keys: own, Logger: log})
	clock := database.NewClock(pool, svcauth.Leeway)
	ready := httpserve.NewReadiness(log, map[string]httpserve.Check{
		"database": database.NewCheck(store.Ready).Run, "clock": clock.Check,
	})
	operators := httpserve.AdminHandler(ready, svcauthprom.NewCollector(verifier), clock.Metric())
	public, admin, err := listen(settings, api, operators, ready, log)
	if err != nil {
		return command.Misuse(err)
	}
	log.Info("listening", "addr", public.Addr().String(), "admin_addr", admin.Addr().String())

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return httpserve.Run(ctx, public, admin) })
	group.Go(func() error { replay.Run(ctx, log); return nil })
	group.Go(func() error { clock.Run(ctx, log); return nil })
	if sessions != nil { // the database was not there
		group.Go(func() error { return explain(settings.Database.Config.AwaitSessions(ctx)) })
	}
	return group.Wait()
}

// trust loads what says who Census is and whom it trusts. All that is wrong is
// told at once.
func trust(s serveSettings, replay svcauth.ReplayStore, log *slog.Logger) (keys.Signing, *svcauth.Verifier, error) {
	own, err := keys.Watch(s.KeyFile, log)
	if err != nil {
		err = fmt.Errorf("CENSUS_KEY_FILE: %w", err)
	}
	client, clientErr := httpclient.New(httpclient.Config{CAFile: s.CAFile, ConnectTo: s.ConnectTo})
	if clientErr != nil {
		return nil, nil, errors.Join(err, fmt.Errorf("CENSUS_CA_FILE, CENSUS_CONNECT_TO: %w", clientErr))
	}
	verifier, verifierErr := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: string(s.Name.URL), TrustFile: s.TrustFile, Replay: replay, HTTPClient: client, Logger: log,
		Admission: httpserve.PerRoute{},
	})
	if verifierErr != nil {
		return nil, nil, errors.Join(err, fmt.Errorf("CENSUS_TRUST_FILE: %w", verifierErr))
	}
	if err != nil {
		verifier.Close()
		return nil, nil, err
	}
	return own, verifier, nil
}

func listen(
	s serveSettings, api, operators http.Handler, ready *httpserve.Readiness, log *slog.Logger,
) (public, admin *httpserve.Server, err error) {
	public, err = httpserve.Listen(httpserve.Config{
		Addr: s.Listen, CertFile: s.TLSCertFile, KeyFile: s.TLSKeyFile, Handler: api, Readiness: ready, Logger: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("CENSUS_LISTEN, CENSUS_TLS_CERT_FILE, CENSUS_TLS_KEY_FILE: %w", err)
	}
	admin, err = httpserve.Listen(httpserve.Config{
		Addr: s.Admin.Listen, Handler: operators, Logger: log,
	})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("CENSUS_ADMIN_LISTEN: %w", err), public.Close())
	}
	return public, admin, nil
}
