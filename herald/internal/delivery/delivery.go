// Package delivery sends Herald's notifications. It executes the jobs that were stored with them.
// The job queue is River. Any number of processes may work on one database.
//
//	service, err := delivery.New(delivery.Config{
//		Pool: pool, Store: store, Requests: requests, Process: process,
//		Census: census, Mail: sender, Logger: logger,
//	})
//	err = service.Run(ctx)
//
// A mail is sent at least once. It can be sent twice only when the reply to the first send was
// lost, because the connection broke or the process died. The notification is then marked as a
// possible duplicate. Errors that may be temporary are retried. A fault of the mail server that
// concerns all mail opens a circuit breaker and does not count as an attempt.
//
// Package postgres documents the states of a notification.
package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"golang.org/x/sync/errgroup"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/herald/internal/postgres"
	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/outage"
)

// The settings of River. It fetches new jobs when it is notified, and polls for the jobs of later
// attempts. Its own rescue of stuck jobs is disabled in effect: [recovery] finds them within
// seconds.
const (
	fetchCooldown     = 5 * time.Millisecond
	fetchPollInterval = time.Second
	noTimeout         = -1
	rescueAfter       = 10 * 365 * 24 * time.Hour
)

// handBackTimeout is how long jobs may take to record their state after the grace period.
const handBackTimeout = 8 * time.Second

// A Config configures a [Service].
type Config struct {
	// Pool connects to the database that holds the jobs. No other component should use it.
	// Required.
	Pool *pgxpool.Pool
	// Store holds the notifications. It uses the same database as Pool. Required.
	Store *postgres.Store
	// Requests is a store of the same database that uses another pool, so that Accept does not wait
	// for deliveries. Required.
	Requests *postgres.Store
	// Process is the name under which both stores claim jobs and keys. No other process uses it.
	// Required.
	Process string
	// Backlog measures whether deliveries keep up. Nil disables the measurement.
	Backlog *Backlog
	// Census fetches the recipients. Required.
	Census *censusclient.Client
	// Mail sends the mails. Required.
	Mail *mail.Sender
	// Logger logs the results of attempts, with the notifications' IDs. Required.
	Logger *slog.Logger
	// Retry is the schedule of retries. The zero value is the schedule for production.
	Retry Schedule
	// Workers is how many jobs from the queue are executed at once. The default is 100.
	Workers int
	// Grace is how long running jobs may take to finish after Run's context has ended. The default
	// is 15 s, which is the time limit of one mail.
	Grace time.Duration
	// FirstProbe is the first backoff of the circuit breaker. The backoff doubles up to a minute.
	// The default is 1 s.
	FirstProbe time.Duration
	// RecoveryInterval is the time between two searches for jobs of dead processes. The default is
	// 2 s.
	RecoveryInterval time.Duration
	// DeadAfter is how long a process must be absent until it counts as dead. The default is 4 s.
	DeadAfter time.Duration
}

// A Service executes jobs. Its methods are safe for concurrent use; Run is called once.
type Service struct {
	config   Config
	worker   *worker
	jobs     *river.Client[pgx.Tx]
	direct   *direct
	stop     context.CancelFunc // ends worker.stopping
	presence *presence
	recovery *recovery
	starter  *starter
}

// New returns a service. The service executes no job before Run.
func New(config Config) (*Service, error) {
	config.Workers = cmp.Or(config.Workers, 100)
	config.Grace = cmp.Or(config.Grace, 15*time.Second)
	config.RecoveryInterval = cmp.Or(config.RecoveryInterval, 2*time.Second)
	config.DeadAfter = cmp.Or(config.DeadAfter, 4*time.Second)
	config.FirstProbe = cmp.Or(config.FirstProbe, firstProbe)
	config.Retry = config.Retry.withDefaults()
	stopping, stop := context.WithCancel(context.Background())
	w := &worker{
		Config: config, executions: newExecutions(), stopping: stopping,
		breaker: newBreaker(config.Logger, config.FirstProbe, config.Backlog),
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, w); err != nil {
		stop()
		return nil, fmt.Errorf("preparing worker: %w", err)
	}
	jobs, err := river.NewClient(driver{riverpgxv5.New(config.Pool)}, &river.Config{
		ID:                   config.Process,
		Queues:               map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: config.Workers}},
		Workers:              workers,
		FetchCooldown:        fetchCooldown,
		FetchPollInterval:    fetchPollInterval,
		JobTimeout:           noTimeout,
		RescueStuckJobsAfter: rescueAfter,
		SoftStopTimeout:      config.Grace,
		RetryPolicy:          config.Retry,
		ErrorHandler:         jobErrors{config.Logger},
		Logger:               slog.New(demotingHandler{config.Logger.Handler()}),
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("preparing job queue: %w", err)
	}
	s := &Service{
		config: config, worker: w, jobs: jobs, direct: newDirect(max(minDirect, config.Workers)), stop: stop,
		presence: &presence{
			id: config.Process, config: config.Pool.Config().ConnConfig, outages: outage.NewLog(config.Logger, "presence"),
		},
		recovery: &recovery{
			store: config.Store, executions: w.executions, deadAfter: config.DeadAfter, log: config.Logger,
			outages: outage.NewLog(config.Logger, "recovery"),
		},
	}
	s.starter = newStarter(s.begin, config.Logger)
	return s, nil
}

// Run executes jobs until ctx ends. If the database is not available at first, Run waits for it.
// After ctx ends, running jobs may finish within the grace period. Jobs that are still running then
// are interrupted, and their state is recorded. They are handed back to the queue for another
// process or the next start.
func (s *Service) Run(ctx context.Context) error {
	if !s.starter.run(ctx) {
		s.stop()
		return nil
	}
	group, background := errgroup.WithContext(context.WithoutCancel(ctx))
	background, stop := context.WithCancel(background)
	group.Go(func() error { return s.presence.run(background) })
	group.Go(func() error { return s.recovery.run(background, s.config.RecoveryInterval) })
	group.Go(func() error {
		defer stop()
		<-ctx.Done()
		s.stop()
		return s.end(context.WithoutCancel(ctx))
	})
	return group.Wait()
}

// Accept stores a new notification, as [postgres.Store.Create] does. If this process has free
// capacity, Accept also starts the first execution of the job in the same transaction. The
// execution then needs no fetch from the queue. recipient is the answer that Census gave at the
// time asked. Accept calls release when this execution ends or waits for the circuit breaker, or
// before it returns if there is none. It may call release more than once.
func (s *Service) Accept(
	ctx context.Context, claim herald.Claim, recipient herald.Recipient, asked time.Time, release func(),
) (*herald.Notification, error) {
	if !s.canStart() || !s.direct.reserve() {
		release()
		return s.config.Requests.Create(ctx, claim)
	}
	n, e, err := s.config.Requests.CreateStarted(ctx, claim)
	if err != nil {
		s.direct.release()
		release()
		return nil, err
	}
	go func() {
		defer release()
		defer s.direct.release()
		s.worker.execute(s.direct.ctx, e, lookup{notification: n, recipient: recipient, at: asked, onWait: release})
	}()
	return n, nil
}

// canStart reports whether this process executes jobs and is not busy with those of the queue.
func (s *Service) canStart() bool {
	return s.presence.held.Load() && s.worker.fetched.Load() < int64(s.config.Workers)
}

// Ready returns nil while the service executes jobs and holds its presence lock.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.starter.ready(ctx); err != nil {
		return err
	}
	if !s.presence.held.Load() {
		return errors.New("the advisory lock that marks this process as alive is lost")
	}
	select {
	case <-s.jobs.Stopped():
		return errors.New("the job queue has stopped")
	default:
		return nil
	}
}

// begin acquires the presence lock before it starts the job queue. Otherwise another process could
// mistake this process's jobs for those of a dead process.
func (s *Service) begin(ctx context.Context) error {
	if err := s.presence.announce(ctx); err != nil {
		return err
	}
	if err := s.checkDatabase(ctx); err != nil {
		s.presence.withdraw()
		return err
	}
	if err := s.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		s.presence.withdraw()
		return fmt.Errorf("starting to work jobs: %w", err)
	}
	return nil
}

// checkDatabase returns an error when the database cannot be used. Without this check the job queue
// would log an error for each missing table at each try.
func (s *Service) checkDatabase(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	return s.config.Store.Ready(ctx)
}

// end stops the executions and waits for them.
func (s *Service) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Grace+handBackTimeout)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error { return s.jobs.Stop(ctx) })
	group.Go(func() error { return s.direct.stop(ctx, s.config.Grace) })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("handing jobs back: %w", err)
	}
	return nil
}
