package postgres_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/postgres"
)

func begin(t *testing.T, store *postgres.Store, id uuid.UUID) int {
	t.Helper()
	number, err := store.Begin(t.Context(), id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// conclude records a result and returns the notification as it is then.
func conclude(t *testing.T, store *postgres.Store, id uuid.UUID, number int, result herald.Result, next *time.Time) *herald.Notification {
	t.Helper()
	attempt := herald.Attempt{Number: number, StartedAt: time.Now(), Result: result}
	if err := store.Conclude(t.Context(), id, attempt, next, func(pgx.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return get(t, store, id)
}

func get(t *testing.T, store *postgres.Store, id uuid.UUID) *herald.Notification {
	t.Helper()
	n, err := store.Notification(t.Context(), creator, id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDeliveryThatSucceeds(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	id := create(t, store).ID
	taken, err := store.Take(t.Context(), id)
	if err != nil || taken.Request != request || taken.Status != herald.Queued {
		t.Fatalf("took %+v, %v", taken, err)
	}
	number := begin(t, store, id)
	n := get(t, store, id)
	if number != 1 || n.Status != herald.Sending || len(n.Attempts) != 1 || n.Attempts[0].FinishedAt != nil || n.Attempts[0].Outcome != "" {
		t.Errorf("begun: %d, %+v", number, n)
	}
	n = conclude(t, store, id, number, herald.Result{Outcome: herald.Accepted}, nil)
	if n.Status != herald.Sent || n.PossibleDuplicate || n.NextAttemptAt != nil || len(n.Attempts) != 1 {
		t.Errorf("concluded: %+v", n)
	}
	a := n.Attempts[0]
	if a.Number != 1 || a.Outcome != herald.Accepted || a.FinishedAt == nil || a.FinishedAt.Before(a.StartedAt) || !n.UpdatedAt.Equal(*a.FinishedAt) {
		t.Errorf("attempt: %+v, updated %v", a, n.UpdatedAt)
	}
}

func TestDeliveryThatIsPutOffAndFails(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	id := create(t, store).ID
	next := time.Now().Add(time.Minute).UTC().Truncate(time.Microsecond)
	n := conclude(t, store, id, 0, herald.Result{Outcome: herald.Deferred, Detail: "Census"}, &next)
	if n.Status != herald.Queued || n.NextAttemptAt == nil || !n.NextAttemptAt.Equal(next) || len(n.Attempts) != 1 || n.Attempts[0].Number != 1 {
		t.Errorf("put off before it was sent: %+v", n)
	}
	number := begin(t, store, id)
	if n := get(t, store, id); number != 2 || n.NextAttemptAt != nil {
		t.Errorf("begun again: %d, %+v", number, n)
	}
	n = conclude(t, store, id, number, herald.Result{Outcome: herald.Refused, SMTPCode: 550, Detail: "refused"}, nil)
	if n.Status != herald.Failed || n.PossibleDuplicate || n.NextAttemptAt != nil || len(n.Attempts) != 2 {
		t.Errorf("failed: %+v", n)
	}
	if a := n.Attempts[1]; a.Number != 2 || a.SMTPCode != 550 || a.Detail != "refused" || a.Outcome != herald.Refused {
		t.Errorf("attempt: %+v", a)
	}
}

func TestDeliveryInDoubt(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	id := create(t, store).ID
	next := time.Now()
	n := conclude(t, store, id, begin(t, store, id), herald.Result{Outcome: herald.Unknown}, &next)
	if n.Status != herald.Queued || !n.PossibleDuplicate {
		t.Errorf("in doubt: %+v", n)
	}
	n = conclude(t, store, id, begin(t, store, id), herald.Result{Outcome: herald.Accepted}, nil)
	if n.Status != herald.Sent || !n.PossibleDuplicate {
		t.Errorf("sent again: %+v", n)
	}
}

func TestTakeFindsAnAbandonedAttempt(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	id := create(t, store).ID
	begin(t, store, id)
	n, err := store.Take(t.Context(), id)
	if err != nil || n.Status != herald.Queued || !n.PossibleDuplicate || len(n.Attempts) != 1 ||
		n.Attempts[0].Outcome != herald.Unknown || n.Attempts[0].FinishedAt == nil || n.Attempts[0].Detail == "" {
		t.Fatalf("took %+v, %v", n, err)
	}
	if number := begin(t, store, id); number != 2 {
		t.Errorf("attempt %d", number)
	}
}

func TestTakeOfNothing(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	if n, err := store.Take(t.Context(), uuid.Must(uuid.NewV7())); !errors.Is(err, herald.ErrNotFound) || n != nil {
		t.Errorf("took %+v, %v", n, err)
	}
}

// TestTheTruthComesLate has an attempt that was given up for dead conclude after all.
func TestTheTruthComesLate(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	id := create(t, store).ID
	slow := begin(t, store, id)
	if _, err := store.Take(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	n := conclude(t, store, id, slow, herald.Result{Outcome: herald.Accepted}, nil)
	if n.Status != herald.Sent || n.Attempts[0].Outcome != herald.Accepted {
		t.Errorf("got %+v", n)
	}
	if _, err := store.Begin(t.Context(), id, time.Now()); !errors.Is(err, herald.ErrNotQueued) {
		t.Errorf("what is sent is sent again: %v", err)
	}
}

func TestSentStaysSent(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	id := create(t, store).ID
	slow := begin(t, store, id)
	if _, err := store.Take(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	conclude(t, store, id, begin(t, store, id), herald.Result{Outcome: herald.Accepted}, nil)
	if n := conclude(t, store, id, slow, herald.Result{Outcome: herald.Refused}, nil); n.Status != herald.Sent {
		t.Errorf("got %+v", n)
	}
}

func TestOneAttemptAtATime(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	id := create(t, store).ID
	var wait sync.WaitGroup
	begun := make(chan int, 20)
	for range cap(begun) {
		wait.Go(func() {
			number, err := store.Begin(t.Context(), id, time.Now())
			if err == nil {
				begun <- number
			} else if !errors.Is(err, herald.ErrNotQueued) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if len(begun) != 1 || rows(t, pool, "attempts") != 1 {
		t.Errorf("%d have begun", len(begun))
	}
}

func TestConcludeIsAllOrNothing(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	id := create(t, store).ID
	number := begin(t, store, id)
	failure := errors.New("job is not completed")
	attempt := herald.Attempt{Number: number, StartedAt: time.Now(), Result: herald.Result{Outcome: herald.Accepted}}
	if err := store.Conclude(t.Context(), id, attempt, nil, func(pgx.Tx) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	if n := get(t, store, id); n.Status != herald.Sending || n.Attempts[0].FinishedAt != nil {
		t.Errorf("got %+v", n)
	}
}
