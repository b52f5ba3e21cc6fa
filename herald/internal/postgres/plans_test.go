package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/postgres"
	"example.com/micromachine/pkg/pgtest"
)

// TestPlansAreKept checks that PostgreSQL keeps the plan of each statement that is executed often.
func TestPlansAreKept(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	fill(t, store, pool)
	for i := range 30 {
		request := herald.Request{Creator: creator, UserID: 42, Type: herald.WelcomeMessage}
		claim, _, err := store.Claim(t.Context(), request, fmt.Sprint(i))
		released, _, again := store.Claim(t.Context(), request, fmt.Sprint("released ", i))
		if err := errors.Join(err, again, store.Release(t.Context(), released)); err != nil {
			t.Fatal(err)
		}
		n, e, err := store.CreateStarted(t.Context(), claim)
		if err != nil {
			t.Fatal(err)
		}
		conclude(t, store, n.ID, &e, herald.Result{Outcome: herald.Accepted, SMTPCode: 250}, 0)
		get(t, store, n.ID)
		id := create(t, store).ID
		_, pending := store.Pending(t.Context(), id)
		handBack := store.HandBack(t.Context(), *fetch(t, pool, id, "a"), 0)
		discard := store.Discard(t.Context(), *fetch(t, pool, id, "a"), false)
		_, absent := store.Absent(t.Context())
		_, abandon := store.Abandon(t.Context(), []string{"b"})
		_, unclaimed := store.Unclaimed(t.Context(), time.Second)
		if err := errors.Join(pending, handBack, discard, absent, abandon, unclaimed); err != nil {
			t.Fatal(err)
		}
	}
	pgtest.WantPlansKept(t, pool)
}

// fill stores so many notifications that it matters how PostgreSQL finds one.
func fill(t *testing.T, store *postgres.Store, pool *pgxpool.Pool) {
	t.Helper()
	id := create(t, store).ID
	conclude(t, store, id, fetch(t, pool, id, "a"), herald.Result{Outcome: herald.Accepted, SMTPCode: 250}, 0)
	exec(t, pool, `
		with copies as (
			select md5(n::text)::uuid as id, nextval('river_job_id_seq') as job_id from generate_series(1, 20000) n
		), jobs as (
			insert into river_job (id, kind, args, queue, max_attempts, scheduled_at, state, attempt, attempted_at, attempted_by, finalized_at)
			select c.job_id, j.kind, jsonb_build_object('notification_id', c.id), j.queue, j.max_attempts, j.scheduled_at,
				j.state, j.attempt, j.attempted_at, j.attempted_by, j.finalized_at
			from copies c, river_job j
		), attempts as (
			insert into attempts (notification_id, number, started_at, finished_at, outcome, smtp_code)
			select c.id, a.number, a.started_at, a.finished_at, a.outcome, a.smtp_code from copies c, attempts a
		)
		insert into notifications (id, creator, user_id, type, job_id, status, created_at, updated_at)
		select c.id, n.creator, n.user_id, n.type, c.job_id, n.status, n.created_at, n.updated_at
		from copies c, notifications n`)
	exec(t, pool, `analyze`)
}
