package postgres_test

import (
	"errors"
	"sync"
	"testing"

	"example.com/micromachine/census"
	"example.com/micromachine/census/internal/postgres"
)

// Reads that share a statement stay separate: each returns the user that it asked for, if its actor
// may see that user.
func TestConcurrentReads(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	type read struct {
		actor census.Actor
		id    int64
		err   error
	}
	reads := []read{
		{census.Actor{ID: subject}, subject, nil},
		{census.Actor{ID: reader}, subject, nil},
		{census.Actor{ID: reader}, reader, nil},
		{census.Actor{ID: admin, Admin: true}, otherUser, nil},
		{census.Operator(), admin, nil},
		{census.Actor{ID: subject}, reader, census.ErrForbidden},
		{census.Actor{ID: otherUser, Admin: true}, subject, census.ErrForbidden},
		{census.Actor{ID: admin}, subject, census.ErrForbidden},
		{census.Actor{ID: admin, Admin: true}, missingUser, census.ErrNotFound},
		{census.Actor{ID: missingUser}, missingUser, census.ErrForbidden},
	}
	var wait sync.WaitGroup
	for i := range 500 {
		r := reads[i%len(reads)]
		wait.Go(func() {
			user, err := store.User(t.Context(), r.actor, r.id)
			if !errors.Is(err, r.err) || err == nil && user.ID != r.id {
				t.Errorf("%+v on %d: %+v, %v", r.actor, r.id, user, err)
			}
		})
	}
	wait.Wait()
}

func TestReadsAreNotPlannedEachTime(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	store := postgres.New(pool)
	user := mustCreate(t, store, census.User{Name: "A", Email: "a@example.com"})
	for range 20 {
		if _, err := store.User(t.Context(), census.Operator(), user.ID); err != nil {
			t.Fatal(err)
		}
	}
	var kept int
	for _, conn := range pool.AcquireAllIdle(t.Context()) {
		var n int
		err := conn.QueryRow(t.Context(), `
			select coalesce(sum(generic_plans), 0) from pg_prepared_statements where statement like '%unnest%'`).Scan(&n)
		if err != nil {
			t.Error(err)
		}
		kept += n
		conn.Release()
	}
	if kept == 0 {
		t.Error("no execution used a kept plan")
	}
}
