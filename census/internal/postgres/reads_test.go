package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"example.com/micromachine/census"
	"example.com/micromachine/census/internal/postgres"
	"example.com/micromachine/pkg/pgtest"
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

// TestPlansAreKept checks that PostgreSQL keeps the plan of each statement that is executed often.
func TestPlansAreKept(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	store := postgres.New(pool)
	if _, err := pool.Exec(t.Context(), `
		insert into users (name, email, locale, admin)
		select 'User', 'user' || n || '@example.com', 'en', n = 1 from generate_series(1, 20000) n`); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `analyze users`); err != nil {
		t.Fatal(err)
	}
	actor, name := census.Actor{ID: 1, Admin: true}, "A"
	for i := range int64(20) {
		user := mustCreate(t, store, census.User{Name: "B", Email: fmt.Sprintf("b%d@example.com", i)})
		_, err := store.User(t.Context(), actor, user.ID)
		_, first := store.Users(t.Context(), actor, census.Query{Limit: 50})
		_, deep := store.Users(t.Context(), actor, census.Query{Limit: 50, After: 18000})
		_, byMail := store.Users(t.Context(), actor, census.Query{Limit: 50, Email: fmt.Sprintf("user%d@example.com", i+1)})
		_, update := store.UpdateUser(t.Context(), actor, user.ID, census.Update{Name: &name})
		add := store.AddViewer(t.Context(), actor, user.ID, 1)
		remove := store.RemoveViewer(t.Context(), actor, user.ID, 1)
		if err := errors.Join(err, first, deep, byMail, update, add, remove, store.DeleteUser(t.Context(), actor, user.ID)); err != nil {
			t.Fatal(err)
		}
	}
	pgtest.WantPlansKept(t, pool)
}
