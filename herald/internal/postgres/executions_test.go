package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/postgres"
)

// fetch fetches a notification's job for a process, as River does. It returns nil when the job is
// not available.
func fetch(tb testing.TB, pool *pgxpool.Pool, id uuid.UUID, process string) *postgres.Execution {
	tb.Helper()
	e := &postgres.Execution{Process: process}
	err := pool.QueryRow(tb.Context(), `
		update river_job set state = 'running', attempt = attempt + 1, attempted_at = now(),
			attempted_by = array_append(attempted_by, $2)
		where id = (select job_id from notifications where id = $1) and state = 'available' and scheduled_at <= now()
		returning id, attempt, attempted_at`, id, process).Scan(&e.Job, &e.Number, &e.StartedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// conclude records a result. pause is the pause before the next attempt.
func conclude(
	tb testing.TB, store *postgres.Store, id uuid.UUID, e *postgres.Execution, result herald.Result, pause time.Duration,
) postgres.Concluded {
	tb.Helper()
	concluded, err := store.Conclude(tb.Context(), postgres.Conclusion{
		Execution: *e, NotificationID: id, Result: result, RetryAfter: pause, GiveUpAfter: 24 * time.Hour,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return concluded
}

func get(tb testing.TB, store *postgres.Store, id uuid.UUID) *herald.Notification {
	tb.Helper()
	n, err := store.Notification(tb.Context(), creator, id)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// jobState returns the state of a notification's job.
func jobState(tb testing.TB, pool *pgxpool.Pool, id uuid.UUID) (state string) {
	tb.Helper()
	err := pool.QueryRow(tb.Context(), `
		select j.state from river_job j join notifications n on n.job_id = j.id where n.id = $1`, id).Scan(&state)
	if err != nil {
		tb.Fatal(err)
	}
	return state
}

func TestDeliveryThatSucceeds(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	e := fetch(t, pool, id, "a")
	n := get(t, store, id)
	if n.Status != herald.Sending || len(n.Attempts) != 1 || n.Attempts[0].Number != 1 ||
		n.Attempts[0].FinishedAt != nil ||
		n.Attempts[0].Outcome != "" || !n.Attempts[0].StartedAt.Equal(e.StartedAt) {
		t.Errorf("while it is sent: %+v", n)
	}
	concluded := conclude(t, store, id, e, herald.Result{Outcome: herald.Accepted, SMTPCode: 250}, 0)
	if !concluded.Owned || concluded.Status != herald.Sent || concluded.NextAttemptAt != nil {
		t.Errorf("concluded: %+v", concluded)
	}
	n = get(t, store, id)
	if n.Status != herald.Sent || n.PossibleDuplicate || n.NextAttemptAt != nil || len(n.Attempts) != 1 ||
		jobState(t, pool, id) != "completed" {
		t.Errorf("concluded: %+v", n)
	}
	a := n.Attempts[0]
	if a.Number != 1 || a.Outcome != herald.Accepted || a.FinishedAt == nil || a.FinishedAt.Before(a.StartedAt) ||
		!n.UpdatedAt.Equal(*a.FinishedAt) {
		t.Errorf("attempt: %+v, updated %v", a, n.UpdatedAt)
	}
}

func TestDeliveryThatIsPutOffAndFails(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	concluded := conclude(t, store, id, fetch(t, pool, id, "a"),
		herald.Result{Outcome: herald.Deferred, Detail: "Census"}, time.Minute)
	n := get(t, store, id)
	if n.Status != herald.Queued || n.NextAttemptAt == nil ||
		n.NextAttemptAt.Sub(*n.Attempts[0].FinishedAt) != time.Minute ||
		!concluded.NextAttemptAt.Equal(*n.NextAttemptAt) || jobState(t, pool, id) != "available" {
		t.Errorf("deferred: %+v, %+v", n, concluded)
	}
	if fetch(t, pool, id, "a") != nil {
		t.Error("it is available before its time")
	}
	exec(t, pool, `update river_job set scheduled_at = now()`)
	e := fetch(t, pool, id, "b")
	if n := get(t, store, id); e.Number != 2 || n.Status != herald.Sending || n.NextAttemptAt != nil ||
		len(n.Attempts) != 2 {
		t.Errorf("second attempt: %d, %+v", e.Number, n)
	}
	conclude(t, store, id, e, herald.Result{Outcome: herald.Refused, SMTPCode: 550, Detail: "refused"}, time.Minute)
	n = get(t, store, id)
	if n.Status != herald.Failed || n.PossibleDuplicate || n.NextAttemptAt != nil || len(n.Attempts) != 2 ||
		jobState(t, pool, id) != "completed" {
		t.Errorf("failed: %+v", n)
	}
	if a := n.Attempts[1]; a.Number != 2 || a.SMTPCode != 550 || a.Detail != "refused" || a.Outcome != herald.Refused {
		t.Errorf("attempt: %+v", a)
	}
}

func TestDeliveryInDoubt(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	conclude(t, store, id, fetch(t, pool, id, "a"), herald.Result{Outcome: herald.Unknown}, 0)
	if n := get(t, store, id); n.Status != herald.Queued || !n.PossibleDuplicate {
		t.Errorf("in doubt: %+v", n)
	}
	conclude(t, store, id, fetch(t, pool, id, "a"), herald.Result{Outcome: herald.Accepted}, 0)
	if n := get(t, store, id); n.Status != herald.Sent || !n.PossibleDuplicate {
		t.Errorf("sent again: %+v", n)
	}
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	exec(t, pool, `update notifications set created_at = now() - interval '23 hours 59 minutes 30 seconds'`)
	deferred := herald.Result{Outcome: herald.Deferred, Detail: "busy"}
	if c := conclude(t, store, id, fetch(t, pool, id, "a"), deferred, 0); c.Status != herald.Queued {
		t.Errorf("before its time: %+v", c)
	}
	if c := conclude(t, store, id, fetch(t, pool, id, "a"), deferred, time.Minute); c.Status != herald.Failed ||
		c.NextAttemptAt != nil {
		t.Errorf("at its time: %+v", c)
	}
	if state := jobState(t, pool, id); state != "completed" {
		t.Errorf("the job is %s", state)
	}
}

// TestAbandonMarks checks that the notification is marked, as a dead process may have sent the
// mail.
func TestAbandonMarks(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	lost := fetch(t, pool, id, "dead")
	if absent, err := store.Absent(t.Context()); err != nil || len(absent) != 1 || absent[0] != "dead" {
		t.Errorf("absent: %q, %v", absent, err)
	}
	if jobs, err := store.Abandon(t.Context(), []string{"dead", "other"}); jobs != 1 || err != nil {
		t.Errorf("abandoned %d jobs, %v", jobs, err)
	}
	n := get(t, store, id)
	if n.Status != herald.Queued || !n.PossibleDuplicate || len(n.Attempts) != 1 ||
		n.Attempts[0].Outcome != herald.Unknown ||
		n.Attempts[0].Detail == "" || n.Attempts[0].FinishedAt == nil || !n.Attempts[0].StartedAt.Equal(lost.StartedAt) {
		t.Fatalf("abandoned: %+v", n)
	}
	next := fetch(t, pool, id, "next")
	conclude(t, store, id, next, herald.Result{Outcome: herald.Accepted}, 0)
	if n := get(t, store, id); n.Status != herald.Sent || !n.PossibleDuplicate || len(n.Attempts) != 2 ||
		n.Attempts[1].Number != 2 {
		t.Errorf("sent: %+v", n)
	}
}

// TestLostExecutionsWriteNothing checks that an execution that no longer owns its job writes
// nothing, whatever the result.
func TestLostExecutionsWriteNothing(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	for _, outcome := range []herald.Outcome{herald.Accepted, herald.Refused, herald.Deferred, herald.Unknown} {
		id := create(t, store).ID
		lost := fetch(t, pool, id, "dead")
		if _, err := store.Abandon(t.Context(), []string{"dead"}); err != nil {
			t.Fatal(err)
		}
		next := fetch(t, pool, id, "next")
		before := get(t, store, id)
		if c := conclude(t, store, id, lost, herald.Result{Outcome: outcome}, 0); c.Owned {
			t.Errorf("%s: owned", outcome)
		}
		if err := store.HandBack(t.Context(), *lost, 0); err != nil {
			t.Error(err)
		}
		if err := store.Discard(t.Context(), *lost, true); err != nil {
			t.Error(err)
		}
		if after := get(t, store, id); fmt.Sprintf("%+v", after) != fmt.Sprintf("%+v", before) ||
			jobState(t, pool, id) != "running" {
			t.Errorf("%s: was %+v, is %+v, the job %s", outcome, before, after, jobState(t, pool, id))
		}
		if c := conclude(t, store, id, next, herald.Result{Outcome: herald.Accepted}, 0); !c.Owned ||
			c.Status != herald.Sent {
			t.Errorf("%s: the next execution: %+v", outcome, c)
		}
	}
}

// TestGapMarks checks that a gap in the numbers of the executions, left by River's own rescue,
// marks the notification.
func TestGapMarks(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	fetch(t, pool, id, "dead")
	exec(t, pool, `update river_job set state = 'available'`)
	conclude(t, store, id, fetch(t, pool, id, "next"), herald.Result{Outcome: herald.Accepted}, 0)
	if n := get(t, store, id); n.Status != herald.Sent || !n.PossibleDuplicate {
		t.Errorf("got %+v", n)
	}
}

func TestHandBackLeavesNoTrace(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	e := fetch(t, pool, id, "a")
	if err := store.HandBack(t.Context(), *e, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := get(t, store, id); n.Status != herald.Queued || n.PossibleDuplicate || len(n.Attempts) != 0 ||
		fetch(t, pool, id, "a") != nil {
		t.Errorf("handed back: %+v", n)
	}
	exec(t, pool, `update river_job set scheduled_at = now()`)
	e = fetch(t, pool, id, "b")
	conclude(t, store, id, e, herald.Result{Outcome: herald.Accepted}, 0)
	if n := get(t, store, id); e.Number != 1 || n.PossibleDuplicate || len(n.Attempts) != 1 {
		t.Errorf("sent: %d, %+v", e.Number, n)
	}
}

// TestRepeatedHandBackLeavesTheNextExecutionAlone repeats a hand-back whose reply was lost. The
// process may have fetched the job again meanwhile, and must not hand back that execution.
func TestRepeatedHandBackLeavesTheNextExecutionAlone(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	first := fetch(t, pool, id, "a")
	if err := store.HandBack(t.Context(), *first, 0); err != nil {
		t.Fatal(err)
	}
	second := fetch(t, pool, id, "a")
	if err := store.HandBack(t.Context(), *first, 0); err != nil {
		t.Fatal(err)
	}
	if err := store.Discard(t.Context(), *first, true); err != nil {
		t.Fatal(err)
	}
	if c := conclude(t, store, id, first, herald.Result{Outcome: herald.Deferred}, 0); c.Owned ||
		jobState(t, pool, id) != "running" {
		t.Errorf("the first execution still writes: %+v, the job is %s", c, jobState(t, pool, id))
	}
	if c := conclude(t, store, id, second, herald.Result{Outcome: herald.Accepted}, 0); !c.Owned ||
		c.Status != herald.Sent {
		t.Errorf("the second execution: %+v", c)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	for cancelled, state := range map[bool]string{false: "completed", true: "cancelled"} {
		id := create(t, store).ID
		if err := store.Discard(t.Context(), *fetch(t, pool, id, "a"), cancelled); err != nil ||
			jobState(t, pool, id) != state {
			t.Errorf("%v: %s, %v", cancelled, jobState(t, pool, id), err)
		}
	}
}

func TestPendingOfUnknownNotification(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	if n, err := store.Pending(t.Context(), uuid.Must(uuid.NewV7())); !errors.Is(err, herald.ErrNotFound) || n != nil {
		t.Errorf("got %+v, %v", n, err)
	}
}

// TestUnclaimed checks that only this process's own executions are returned.
func TestUnclaimed(t *testing.T) {
	t.Parallel()
	_, pool := start(t)
	store := postgres.New(pool, "self")
	mine, others := create(t, store).ID, create(t, store).ID
	e := fetch(t, pool, mine, "self")
	fetch(t, pool, others, "other")
	if found, err := store.Unclaimed(t.Context(), time.Minute); len(found) != 0 || err != nil {
		t.Errorf("too early: %+v, %v", found, err)
	}
	if found, err := store.Unclaimed(t.Context(), 0); len(found) != 1 || found[0].Job != e.Job || found[0].Number != 1 ||
		err != nil {
		t.Errorf("got %+v, %v", found, err)
	}
	if absent, err := store.Absent(t.Context()); len(absent) != 1 || absent[0] != "other" || err != nil {
		t.Errorf("absent: %q, %v", absent, err)
	}
}

func TestConcludeIsAllOrNothing(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	e := fetch(t, pool, id, "a")
	exec(t, pool, `alter table river_job add constraint incomplete check (state <> 'completed')`)
	c := postgres.Conclusion{Execution: *e, NotificationID: id, Result: herald.Result{Outcome: herald.Accepted}}
	if _, err := store.Conclude(t.Context(), c); err == nil {
		t.Error("concluded")
	}
	if n := get(t, store, id); n.Status != herald.Sending || n.Attempts[0].FinishedAt != nil ||
		rows(t, pool, "attempts") != 0 {
		t.Errorf("got %+v", n)
	}
}

// TestBatchesLoseOneRow checks that a row that the database rejects does not affect the other rows
// of its batch.
func TestBatchesLoseOneRow(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	exec(t, pool, `alter table notifications add constraint no_user_13 check (user_id <> 13)`)
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			r := request
			r.UserID = int64(i%20) + 1
			n, err := store.Create(t.Context(), herald.Claim{Request: r})
			if bad := r.UserID == 13; (err != nil) != bad || (n == nil) != bad {
				t.Errorf("user %d: %+v, %v", r.UserID, n, err)
			}
		})
	}
	wait.Wait()
	if n, jobs := rows(t, pool, "notifications"), rows(t, pool, "river_job"); n != 38 || jobs != 38 {
		t.Errorf("%d notifications, %d jobs", n, jobs)
	}
}
