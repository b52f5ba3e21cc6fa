package chains

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth/bench/internal/proc"
)

// A Reading is the total use of resources up to a time.
type Reading struct {
	At             time.Time
	Herald, Census time.Duration // CPU time
	Postgres       time.Duration // CPU time of the server, for all databases
	// HeraldCommits and CensusCommits are the numbers of transactions in the side's databases.
	HeraldCommits, CensusCommits int64
	Syncs                        int64 // WAL syncs of the server
}

// Sub returns the use between two readings, without At.
func (r Reading) Sub(before Reading) Reading {
	return Reading{
		Herald: r.Herald - before.Herald, Census: r.Census - before.Census, Postgres: r.Postgres - before.Postgres,
		HeraldCommits: r.HeraldCommits - before.HeraldCommits, CensusCommits: r.CensusCommits - before.CensusCommits,
		Syncs: r.Syncs - before.Syncs,
	}
}

// A Meter reads the resource use of sides. It is not safe for concurrent use.
type Meter struct {
	// NoCPU and NoSyncs are the reasons why the server's CPU time and its WAL syncs cannot be read.
	// Nil: they can be read.
	NoCPU, NoSyncs error

	server     *pgtest.Server
	database   string    // a separate one, so that no side's count includes the meter's transactions
	conn       *pgx.Conn // to it
	postmaster int
	syncs      string // the query
}

// NewMeter returns a meter of a server. It finds the server's processes through a connection.
func NewMeter(ctx context.Context, server *pgtest.Server) (*Meter, error) {
	m := &Meter{server: server, database: pgtest.TempName("bench_meter")}
	url, err := server.CreateDatabase(ctx, m.database)
	if err != nil {
		return nil, err
	}
	if m.conn, err = pgx.Connect(ctx, url); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting: %w", err), m.Close())
	}
	var version int
	var fsync bool
	err = m.conn.QueryRow(ctx, `
		select current_setting('server_version_num')::int / 10000, current_setting('fsync')::bool`).Scan(&version, &fsync)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("asking for settings: %w", err), m.Close())
	}
	if !fsync {
		m.NoSyncs = errors.New("the server runs with fsync=off")
	}
	m.syncs = `select wal_sync from pg_stat_wal`
	if version >= 18 {
		m.syncs = `select coalesce(sum(fsyncs), 0)::bigint from pg_stat_io where object = 'wal'`
	}
	m.postmaster, m.NoCPU = proc.Postmaster(m.database)
	return m, nil
}

// Close closes the meter's connection and drops its database.
func (m *Meter) Close() error {
	ctx := context.Background()
	var err error
	if m.conn != nil {
		err = m.conn.Close(ctx)
	}
	return errors.Join(err, m.server.DropDatabase(ctx, m.database))
}

// Read returns what the side has used. Busy PostgreSQL connections report their statistics every
// second, and idle ones after ten seconds.
func (m *Meter) Read(ctx context.Context, s *Side) (Reading, error) {
	r := Reading{At: time.Now()}
	var heraldErr, censusErr, postgresErr error
	r.Herald, heraldErr = proc.CPU(s.Herald.PID())
	r.Census, censusErr = proc.CPU(s.Census.PID())
	if m.NoCPU == nil {
		r.Postgres, postgresErr = proc.TreeCPU(m.postmaster)
	}
	if err := errors.Join(heraldErr, censusErr, postgresErr); err != nil {
		return r, fmt.Errorf("reading CPU times: %w", err)
	}
	err := m.conn.QueryRow(ctx, `select `+transactions("$1")+`, `+transactions("$2")+`, (`+m.syncs+`)`,
		s.HeraldDatabase, s.CensusDatabase).Scan(&r.HeraldCommits, &r.CensusCommits, &r.Syncs)
	if err != nil {
		return r, fmt.Errorf("reading statistics: %w", err)
	}
	return r, nil
}

// transactions returns the subquery for the number of transactions in a database.
func transactions(name string) string {
	return `(select xact_commit + xact_rollback from pg_stat_database where datname = ` + name + `)`
}
