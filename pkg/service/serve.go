package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/svcauthprom"
)

// Parts are the parts of a service that run until it is stopped.
type Parts struct {
	// Handler answers the requests on the public listener. Required.
	Handler http.Handler
	// Ready returns nil when the database can be read and written. Required.
	Ready httpserve.Check
	// Checks are further checks of readiness by name. Nil: none.
	Checks map[string]httpserve.Check
	// Workers run beside the listeners. When ctx ends they return, while the last requests are
	// answered. When one returns an error, the service stops. Nil: none.
	Workers []func(ctx context.Context) error
}

// serve runs the service until ctx ends. It starts without the database, and is not ready until the
// database can be reached.
func (d *Definition) serve(ctx context.Context, rt *Runtime) error {
	sessions := rt.Database.CheckSessions(ctx)
	if errors.Is(sessions, database.ErrTransactionPooling) {
		return rt.Explain(sessions)
	}
	defer rt.close()
	if err := rt.open(ctx); err != nil {
		return err
	}
	parts, err := d.Serve(ctx, rt)
	if err != nil {
		return err
	}
	if sessions != nil { // the database could not be asked
		parts.Workers = append(parts.Workers, func(ctx context.Context) error {
			return rt.Explain(rt.Database.AwaitSessions(ctx))
		})
	}
	return rt.run(ctx, parts)
}

// run serves both listeners and runs the workers until ctx ends or one of them fails.
func (rt *Runtime) run(ctx context.Context, parts Parts) error {
	clock := database.NewClock(rt.Pool, svcauth.Leeway)
	checks := map[string]httpserve.Check{"database": database.NewCheck(parts.Ready).Run, "clock": clock.Check}
	maps.Copy(checks, parts.Checks)
	ready := httpserve.NewReadiness(rt.Logger, checks)
	public, admin, err := rt.listen(parts.Handler, ready, svcauthprom.NewCollector(rt.Verifier), clock.Metric())
	if err != nil {
		return Misuse(err)
	}
	rt.Logger.Info("listening", "addr", public.Addr().String(), "admin_addr", admin.Addr().String())

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return httpserve.Run(ctx, public, admin) })
	group.Go(func() error { rt.replay.Run(ctx, rt.Logger); return nil })
	group.Go(func() error { clock.Run(ctx, rt.Logger); return nil })
	for _, work := range parts.Workers {
		group.Go(func() error { return work(ctx) })
	}
	return group.Wait()
}

// listen opens the public and the admin listener.
func (rt *Runtime) listen(
	api http.Handler, ready *httpserve.Readiness, metrics ...prometheus.Collector,
) (public, admin *httpserve.Server, err error) {
	s := rt.Settings
	public, err = httpserve.Listen(httpserve.Config{
		Addr: s.Listen, CertFile: s.TLSCertFile, KeyFile: s.TLSKeyFile, Handler: api, Readiness: ready, Logger: rt.Logger,
	})
	if err != nil {
		name := rt.definition.Variable
		return nil, nil, fmt.Errorf("%s, %s, %s: %w", name("LISTEN"), name("TLS_CERT_FILE"), name("TLS_KEY_FILE"), err)
	}
	admin, err = httpserve.Listen(httpserve.Config{
		Addr: s.AdminListen, Handler: httpserve.AdminHandler(ready, metrics...), Logger: rt.Logger,
	})
	if err != nil {
		return nil, nil, errors.Join(rt.blame("ADMIN_LISTEN", err), public.Close())
	}
	return public, admin, nil
}
