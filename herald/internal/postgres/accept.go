package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/batch"
)

// An acceptance is a notification that is stored with its job.
type acceptance struct {
	id      uuid.UUID
	claim   herald.Claim
	started bool // whether this process starts the job's first execution
}

// accepted is the result of an acceptance.
type accepted struct {
	createdAt time.Time
	job       int64
	err       error
}

// Create stores a new notification and the job that delivers it. If the claim has a key, Create
// also settles the key. All writes are in one transaction, which is committed when Create returns
// nil. Concurrent calls share a transaction.
//
// The error is herald.ErrKeyInUse when the claim is no longer valid. It is herald.ErrInDoubt when
// the reply to the commit is lost or ctx ends before the reply.
func (s *Store) Create(ctx context.Context, claim herald.Claim) (*herald.Notification, error) {
	n, _, err := s.create(ctx, claim, false)
	return n, err
}

// CreateStarted does what Create does, and starts the job's first execution in the same
// transaction. The caller must hold the presence lock of the store's process and run the execution.
// When the error is herald.ErrInDoubt, the database may assign the execution to this process
// nevertheless; [Store.Unclaimed] finds it.
func (s *Store) CreateStarted(ctx context.Context, claim herald.Claim) (*herald.Notification, Execution, error) {
	return s.create(ctx, claim, true)
}

func (s *Store) create(
	ctx context.Context, claim herald.Claim, started bool,
) (*herald.Notification, Execution, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, Execution{}, fmt.Errorf("creating notification: %w", err)
	}
	a, err := s.accepts.Do(ctx, acceptance{id, claim, started})
	if errors.Is(err, batch.ErrInDoubt) {
		err = fmt.Errorf("%w: %w", herald.ErrInDoubt, err)
	}
	if err = errors.Join(err, a.err); err != nil {
		return nil, Execution{}, fmt.Errorf("creating notification: %w", err)
	}
	e := Execution{Job: a.job, Number: 1, Process: s.process, StartedAt: a.createdAt}
	return herald.New(id, claim.Request, a.createdAt.UTC()), e, nil
}

// acceptSQL stores the notifications of a batch with their jobs and settles their claims. It skips
// the notifications whose claim is no longer valid.
const acceptSQL = `
with input as (
	select id, creator, user_id, type, key, claimed_at, started, place
	from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[], $7::bool[])
		with ordinality as i (id, creator, user_id, type, key, claimed_at, started, place)
), claims as (
	select k.creator, k.key
	from idempotency_keys k join input i on k.creator = i.creator and k.key = i.key and k.claimed_at = i.claimed_at
	where k.notification_id is null
	order by k.creator, k.key for update of k
), valid as materialized (
	select i.id, i.creator, i.user_id, i.type, i.key, i.started, i.place, nextval('river_job_id_seq') as job_id
	from input i left join claims c on c.creator = i.creator and c.key = i.key
	where i.key = '' or c.key is not null
), settled as (
	update idempotency_keys k set notification_id = v.id
	from valid v where v.key <> '' and k.creator = v.creator and k.key = v.key
), jobs as (
	insert into river_job (id, kind, args, queue, max_attempts, scheduled_at, state, attempt, attempted_at, attempted_by)
	select job_id, $8, jsonb_build_object('notification_id', id), $9, $10, now(),
		case when started then 'running' else 'available' end::river_job_state, started::int,
		case when started then now() end, case when started then array[$11::text] end
	from valid
), notifications as (
	insert into notifications (id, creator, user_id, type, job_id, status, created_at, updated_at)
	select id, creator, user_id, type, job_id, 'queued', now(), now() from valid
)
select place, job_id, now() from valid`

// notifySQL notifies the workers of new jobs, as River's own insert does.
const notifySQL = `select pg_notify(current_schema() || '.river_insert', json_build_object('queue', $1::text)::text)`

// accept stores a batch of notifications in one transaction and one round trip.
func (s *Store) accept(ctx context.Context, acceptances []acceptance) ([]accepted, error) {
	n := len(acceptances)
	ids, creators, users := make([]uuid.UUID, n), make([]string, n), make([]int64, n)
	types, keys := make([]herald.Type, n), make([]string, n)
	claimedAt, started := make([]time.Time, n), make([]bool, n)
	queued := false
	for i, a := range acceptances {
		ids[i], creators[i], users[i], types[i] = a.id, a.claim.Creator, a.claim.UserID, a.claim.Type
		keys[i], claimedAt[i], started[i] = a.claim.Key, a.claim.At, a.started
		queued = queued || !a.started
	}
	results := make([]accepted, n)
	for i := range results {
		results[i].err = herald.ErrKeyInUse
	}
	var statements pgx.Batch
	statements.Queue(acceptSQL, ids, creators, users, types, keys, claimedAt, started,
		herald.Delivery{}.Kind(), river.QueueDefault, maxAttempts, s.process).Query(func(rows pgx.Rows) error {
		var place int // the position in the batch, from 1
		var a accepted
		_, err := pgx.ForEachRow(rows, []any{&place, &a.job, &a.createdAt}, func() error {
			results[place-1] = a
			return nil
		})
		return err
	})
	if queued {
		statements.Queue(notifySQL, river.QueueDefault)
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	return results, inDoubt(conn.SendBatch(ctx, &statements).Close())
}

// inDoubt wraps an error of a transaction in herald.ErrInDoubt, unless the error proves that
// nothing was committed.
func inDoubt(err error) error {
	pgErr, answered := errors.AsType[*pgconn.PgError](err)
	if err == nil || pgconn.SafeToRetry(err) || answered && pgErr.SeverityUnlocalized == "ERROR" {
		return err
	}
	return fmt.Errorf("%w: %w", herald.ErrInDoubt, err)
}

// isRowError reports whether one row of a batch may have caused the error: invalid data, a violated
// constraint, or an exception of a trigger.
func isRowError(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(pgErr.Code) != 5 {
		return false
	}
	class := pgErr.Code[:2]
	return class == "22" || class == "23" || class == "P0"
}
