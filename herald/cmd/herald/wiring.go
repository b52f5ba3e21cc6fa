package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/herald/internal/census"
	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/herald/internal/postgres"
	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// databasePools are Herald's database, with a pool for requests and one for jobs, so
// that neither has to wait for the other.
type databasePools struct {
	process         string
	requests, jobs  *pgxpool.Pool
	store, jobStore *postgres.Store
}

// Besides the pools there are two connections: the one that shows that the process
// lives, and the one on which the job queue listens.
const otherConns = 2

// leastConns is the smallest pool_max_conns that works: one connection for each pool.
const leastConns = otherConns + 2

// openDatabase divides pool_max_conns, when it is set, between the pools.
func openDatabase(ctx context.Context, config *database.Config) (*databasePools, error) {
	pooled := config.MaxConns(2*postgres.MaxConns+otherConns) - otherConns
	db := &databasePools{process: postgres.NewProcess()}
	for _, half := range []struct {
		maxConns int32
		pool     **pgxpool.Pool
		store    **postgres.Store
	}{{pooled - pooled/2, &db.requests, &db.store}, {pooled / 2, &db.jobs, &db.jobStore}} {
		var err error
		if *half.pool, err = config.Open(ctx, half.maxConns); err != nil {
			db.close()
			return nil, err
		}
		*half.store = postgres.New(*half.pool, db.process)
	}
	return db, nil
}

func (db *databasePools) close() { database.Close(db.requests, db.jobs) }

// others are those whom Herald has to do with, and what says who it is.
type others struct {
	keys     *keys.Files
	verifier *svcauth.Verifier
	census   *census.Client
	mail     *mail.Sender
}

func (o *others) close() {
	if o.verifier != nil {
		o.verifier.Close()
	}
	if o.mail != nil {
		o.mail.Close()
	}
}

// meet prepares to deal with the others. What is wrong with several of them is
// told at once.
func meet(s serveSettings, replay svcauth.ReplayStore, log *slog.Logger) (*others, error) {
	client, err := httpclient.New(httpclient.Config{CAFile: s.CAFile, ConnectTo: s.ConnectTo})
	if err != nil {
		return nil, fmt.Errorf("HERALD_CA_FILE, HERALD_CONNECT_TO: %w", err)
	}
	var o others
	var keyErr, trustErr, censusErr, mailErr error
	o.verifier, trustErr = svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: s.URL, TrustFile: s.TrustFile, Replay: replay, HTTPClient: client, Logger: log,
		Admission: httpserve.PerRoute{},
	})
	if o.keys, keyErr = keys.Watch(s.KeyFile, log); keyErr == nil {
		o.census, censusErr = newCensus(s, o.keys, client, log)
	}
	o.mail, mailErr = newSender(s)
	err = errors.Join(
		about("HERALD_KEY_FILE", keyErr), about("HERALD_TRUST_FILE", trustErr),
		about("HERALD_CENSUS_URL", censusErr), about("HERALD_SMTP_ADDR", mailErr))
	if err != nil {
		o.close()
		return nil, err
	}
	return &o, nil
}

// about names the setting that an error, if it is one, is to be blamed on.
func about(setting string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", setting, err)
}

func newCensus(s serveSettings, own *keys.Files, client *http.Client, log *slog.Logger) (*census.Client, error) {
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: s.URL, Key: own})
	if err != nil {
		return nil, err
	}
	return census.New(census.Config{URL: s.CensusURL, Signer: signer, HTTPClient: client, Logger: log})
}

func newSender(s serveSettings) (*mail.Sender, error) {
	roots, err := httpclient.LoadRoots(s.CAFile)
	if err != nil {
		return nil, err
	}
	return mail.NewSender(mail.Config{
		Addr: s.Mail.Addr, TLS: s.Mail.TLS, Roots: roots,
		Username: s.Mail.Username, Password: s.Mail.Password, Auth: s.Mail.Auth,
		From: s.Mail.From, Domain: s.Host,
	})
}

func listen(
	s serveSettings, api, operators http.Handler, ready *httpserve.Readiness, log *slog.Logger,
) (public, admin *httpserve.Server, err error) {
	public, err = httpserve.Listen(httpserve.Config{
		Addr: s.Listen, CertFile: s.TLSCertFile, KeyFile: s.TLSKeyFile, Handler: api, Readiness: ready, Logger: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("HERALD_LISTEN, HERALD_TLS_CERT_FILE, HERALD_TLS_KEY_FILE: %w", err)
	}
	admin, err = httpserve.Listen(httpserve.Config{
		Addr: s.Admin.Listen, Handler: operators, Logger: log,
	})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("HERALD_ADMIN_LISTEN: %w", err), public.Close())
	}
	return public, admin, nil
}
