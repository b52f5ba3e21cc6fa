package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/pgreplay"
)

// Runtime is what a command works with. It is for the goroutine that runs the command.
type Runtime struct {
	// Settings are those that the command reads.
	Settings Settings
	// Database is what the variable DATABASE_URL says; nil in commands that do not read it.
	Database *database.Config
	// Stdout is for the result of a command.
	Stdout io.Writer
	// Logger writes JSON lines to stderr, from LOG_LEVEL on.
	Logger *slog.Logger

	// The following are nil in all commands but serve.

	// Pool is the pool of database connections for requests. It does not wait for the database.
	Pool *pgxpool.Pool
	// HTTPClient is for calls to other services. It is configured by CA_FILE and CONNECT_TO.
	HTTPClient *http.Client
	// Keys are the service's own keys, from KEY_FILE. They are not set yet in Definition.Open.
	Keys keys.Signing
	// Signer signs the service's calls with its keys. It is not set yet in Definition.Open.
	Signer *svcauth.Signer
	// Verifier verifies calls. It is configured by TRUST_FILE. It is not set yet in Definition.Open.
	Verifier *svcauth.Verifier

	definition *Definition
	replay     *pgreplay.Store
	pools      []*pgxpool.Pool
	closers    []func()
}

// OnClose has serve call a function when it ends, before it closes the pools. The functions are
// called in the reverse order.
func (rt *Runtime) OnClose(f func()) { rt.closers = append(rt.closers, f) }

// OpenPool returns a pool of at most maxConns connections to the service's database. It does not
// wait for the database. Serve closes it when it ends.
func (rt *Runtime) OpenPool(ctx context.Context, maxConns int32) (*pgxpool.Pool, error) {
	pool, err := rt.Database.Open(ctx, maxConns)
	if err == nil {
		rt.pools = append(rt.pools, pool)
	}
	return pool, err
}

// TotalConns returns the number of database connections that the process can open.
func (rt *Runtime) TotalConns() int32 { return rt.Database.MaxConns(rt.definition.Conns.Default) }

// Explain returns an error of the database in the form in which a command prints it. Nil stays nil.
func (rt *Runtime) Explain(err error) error {
	if errors.Is(err, database.ErrTransactionPooling) {
		return Misuse(rt.blame("DATABASE_URL", err))
	}
	return database.Explain(err)
}

// open opens what serve needs. The faults of all files and addresses that the settings name are one
// [Misuse]; those of CA_FILE and CONNECT_TO come alone, because the others depend on them.
func (rt *Runtime) open(ctx context.Context) (err error) {
	conns := rt.TotalConns()
	if rt.definition.Conns.Requests != nil {
		conns = rt.definition.Conns.Requests(conns)
	}
	if rt.Pool, err = rt.OpenPool(ctx, conns); err != nil {
		return err
	}
	rt.replay = pgreplay.New(rt.Pool)
	s := rt.Settings
	rt.HTTPClient, err = httpclient.New(httpclient.Config{CAFile: s.CAFile, ConnectTo: s.ConnectTo})
	if err != nil {
		ca, connectTo := rt.definition.Variable("CA_FILE"), rt.definition.Variable("CONNECT_TO")
		return Misuse(fmt.Errorf("%s, %s: %w", ca, connectTo, err))
	}
	var openErr error
	if rt.definition.Open != nil {
		openErr = rt.definition.Open(rt)
	}
	return Misuse(errors.Join(rt.loadKeys(), rt.loadTrust(), openErr))
}

func (rt *Runtime) loadKeys() error {
	files, err := keys.Watch(rt.Settings.KeyFile, rt.Logger)
	if err != nil {
		return rt.blame("KEY_FILE", err)
	}
	rt.Keys = files
	rt.Signer, err = svcauth.NewSigner(svcauth.SignerConfig{Issuer: rt.Settings.URL, Key: files})
	return rt.blame("URL", err)
}

func (rt *Runtime) loadTrust() error {
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: rt.Settings.URL, TrustFile: rt.Settings.TrustFile, Replay: rt.replay, HTTPClient: rt.HTTPClient,
		Logger: rt.Logger, Admission: admission{},
	})
	if err != nil {
		return rt.blame("TRUST_FILE", err)
	}
	rt.Verifier = verifier
	rt.OnClose(verifier.Close)
	return nil
}

// close closes what open and the service have opened.
func (rt *Runtime) close() {
	for _, f := range slices.Backward(rt.closers) {
		f()
	}
	database.Close(rt.pools...)
}
