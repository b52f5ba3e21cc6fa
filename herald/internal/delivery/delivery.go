// Package delivery sends Herald's notifications. It works the jobs that were
// stored with them, on River, in any number of processes on one database.
//
//	service, err := delivery.New(delivery.Config{Pool: pool, Store: store, Census: census, Mail: sender, Logger: log})
//	err = service.Run(ctx)
//
// A mail is sent at least once. It can be sent twice only where the answer to the
// first was lost, with the connection or with the process, and the notification
// then says so. Whatever can succeed later is tried again. A fault of the mail
// server that concerns all mail opens a circuit breaker, and counts as no attempt.
//
// Package postgres has the diagram of the states.
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
	"example.com/micromachine/herald/internal/census"
	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/herald/internal/postgres"
	"example.com/micromachine/pkg/outage"
)

// How River works. It rescues no job: recovery finds those that nobody works within seconds.
const (
	fetchCooldown     = 5 * time.Millisecond
	fetchPollInterval = 500 * time.Millisecond
	noTimeout         = -1
	rescueAfter       = 10 * 365 * 24 * time.Hour
)

// handBack is how long jobs may take, when the grace is over, to record how far
// they have come.
const handBack = 8 * time.Second

// A Config says what a [Service] needs to know.
type Config struct {
	// Pool is where the jobs are; River should have it to itself. Required.
	Pool *pgxpool.Pool
	// Store is where the notifications are, in the same database. Required.
	Store *postgres.Store
	// Requests is the same storage on another pool, so that Accept does not wait for deliveries.
	// Required.
	Requests *postgres.Store
	// Process is the name in which both claim. Required.
	Process string
	// Backlog measures whether deliveries keep up. It may be nil.
	Backlog *Backlog
	// Census knows the users. Required.
	Census *census.Client
	// Mail sends. Required.
	Mail *mail.Sender
	// Logger is told what becomes of notifications, by their IDs. Required.
	Logger *slog.Logger
	// Retry says when to try again. The zero value is the schedule of the
	// production service.
	Retry Schedule
	// Workers is how many jobs are fetched and worked at once, 100 by default.
	Workers int
	// Grace is how long jobs that are under way when Run is to end may take to
	// finish, 15 s by default: as long as one conversation with the mail server.
	Grace time.Duration
	// FirstProbe is how long sending pauses at first when the mail server takes no mail, 1 s by
	// default. The pause doubles up to a minute.
	FirstProbe time.Duration
	// LookEvery is how often to look for jobs of processes that have died, 2 s
	// by default; DeadAfter is how long a process must seem dead, 4 s by default.
	LookEvery, DeadAfter time.Duration
}

// A Service works jobs.
type Service struct {
	config   Config
	worker   *worker
	jobs     *river.Client[pgx.Tx]
	direct   *direct
	stop     context.CancelFunc // tells the worker that the service is to stop
	presence *presence
	recovery *recovery
	start    *start
}

// New prepares a service. It works nothing until Run.
func New(config Config) (*Service, error) {
	config.Workers = cmp.Or(config.Workers, 100)
	config.Grace = cmp.Or(config.Grace, 15*time.Second)
	config.LookEvery = cmp.Or(config.LookEvery, 2*time.Second)
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
		Logger:               slog.New(quieter{config.Logger.Handler()}),
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("preparing job queue: %w", err)
	}
	s := &Service{
		config: config, worker: w, jobs: jobs, direct: newDirect(), stop: stop,
		presence: &presence{
			id: config.Process, config: config.Pool.Config().ConnConfig, lost: outage.NewLog(config.Logger, "presence"),
		},
		recovery: &recovery{
			store: config.Store, executions: w.executions, deadAfter: config.DeadAfter, log: config.Logger,
			failing: outage.NewLog(config.Logger, "recovery"),
		},
	}
	s.start = newStart(s.begin, config.Logger)
	return s, nil
}

// Run works jobs until ctx ends. Those under way then may finish within the grace;
// what is left is cut short, recorded, and handed back to be worked by others, or
// at the next start. A database that is not there yet is waited for.
func (s *Service) Run(ctx context.Context) error {
	if !s.start.run(ctx) {
		s.stop()
		return nil
	}
	group, background := errgroup.WithContext(context.WithoutCancel(ctx))
	background, stop := context.WithCancel(background)
	group.Go(func() error { return s.presence.keep(background) })
	group.Go(func() error { return s.recovery.run(background, s.config.LookEvery) })
	group.Go(func() error {
		defer stop()
		<-ctx.Done()
		s.stop()
		return s.end(context.WithoutCancel(ctx))
	})
	return group.Wait()
}

// Accept stores a new notification as [postgres.Store.Create] does. When this process has room and
// the queue is not behind, it also starts the first execution in the same transaction, which saves
// the fetch, and delivers to the recipient, which Census answered when it was asked.
func (s *Service) Accept(
	ctx context.Context, claim herald.Claim, recipient herald.Recipient, asked time.Time,
) (*herald.Notification, error) {
	if !s.presence.held.Load() || s.worker.fetched.Load() >= int64(s.config.Workers) || !s.direct.reserve() {
		return s.config.Requests.Create(ctx, claim)
	}
	n, e, err := s.config.Requests.CreateStarted(ctx, claim)
	if err != nil {
		s.direct.release()
		return nil, err
	}
	go func() {
		defer s.direct.release()
		s.worker.execute(s.direct.ctx, e, lookup{notification: n, recipient: recipient, at: asked})
	}()
	return n, nil
}

// Ready returns nil while jobs are worked: they have been begun, and this process is
// known to the others.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.start.done(ctx); err != nil {
		return err
	}
	if !s.presence.held.Load() {
		return errors.New("the lock that shows the other processes that this one lives is lost")
	}
	select {
	case <-s.jobs.Stopped():
		return errors.New("the job queue has stopped")
	default:
		return nil
	}
}

// begin makes the process known before it works, so that nobody sees it work and
// takes it for dead.
func (s *Service) begin(ctx context.Context) error {
	if err := s.presence.announce(ctx); err != nil {
		return err
	}
	if err := s.tryDatabase(ctx); err != nil {
		s.presence.withdraw()
		return err
	}
	if err := s.jobs.Start(context.WithoutCancel(ctx)); err != nil {
		s.presence.withdraw()
		return fmt.Errorf("starting to work jobs: %w", err)
	}
	return nil
}

// tryDatabase finds out whether jobs can be worked. The job queue by itself would log
// each of its tables that it misses, at each try.
func (s *Service) tryDatabase(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	return s.config.Store.Ready(ctx)
}

func (s *Service) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Grace+handBack)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error { return s.jobs.Stop(ctx) })
	group.Go(func() error { return s.direct.stop(ctx, s.config.Grace) })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("handing jobs back: %w", err)
	}
	return nil
}
