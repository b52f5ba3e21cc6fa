package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"example.com/micromachine/census"
	"example.com/micromachine/census/internal/postgres"
	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/pgtest"
)

// runConcurrently calls f n times concurrently and returns the errors in the order of i.
func runConcurrently(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			errs[i] = f(i)
		})
	}
	done.Wait()
	return errs
}

func TestOneAddressOneUser(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	errs := runConcurrently(20, func(i int) error {
		_, err := store.CreateUser(t.Context(), census.Actor{ID: admin, Admin: true}, census.User{
			Name: "Eager", Email: []string{"eager@example.com", "EAGER@Example.com"}[i%2],
		})
		return err
	})
	created := 0
	for _, err := range errs {
		switch {
		case err == nil:
			created++
		case !errors.Is(err, census.ErrEmailTaken):
			t.Errorf("CreateUser: %v", err)
		}
	}
	if created != 1 {
		t.Errorf("%d users were created, want 1", created)
	}
}

// IDs that the operator chooses do not conflict with IDs from the sequence.
func TestIDsChosenAndGiven(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	for i, err := range runConcurrently(200, func(i int) error {
		user := census.User{Name: "Many", Email: fmt.Sprintf("many%d@example.com", i)}
		if i%2 == 0 {
			user.ID = int64(otherUser + 1 + i) // an ID that the sequence reaches later
		}
		_, err := store.CreateUser(t.Context(), census.Operator(), user)
		return err
	}) {
		// An ID that the operator asks for may have been given before. An ID from the sequence must
		// never be taken.
		if err != nil && (i%2 != 0 || !errors.Is(err, census.ErrIDTaken)) {
			t.Errorf("user %d: %v", i, err)
		}
	}
}

// Users who are viewers of each other are deleted concurrently, in both orders. No transaction
// waits for another in a cycle, which PostgreSQL would end with a deadlock error.
func TestDeletingViewersOfEachOther(t *testing.T) {
	t.Parallel()
	store, ctx := newStore(t), t.Context()
	const users = 12
	for i := range int64(users) {
		mustCreate(t, store, census.User{ID: 100 + i, Name: "One", Email: fmt.Sprintf("one%d@example.com", i)})
	}
	for i := range int64(users) {
		for j := range int64(users) {
			if err := store.AddViewer(ctx, census.Operator(), 100+i, 100+j); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, err := range runConcurrently(2*users, func(i int) error {
		id := int64(100 + i%users)
		if i >= users { // while others become viewers again
			return ignore(store.AddViewer(ctx, census.Operator(), id, 100+(id+1)%users), census.ErrNotFound, census.ErrViewerNotFound)
		}
		return store.DeleteUser(ctx, census.Actor{ID: id}, id)
	}) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func ignore(err error, expected ...error) error {
	for _, e := range expected {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// More concurrent refused deletions than there are connections: none holds a connection while it
// waits for another.
func TestConcurrentRefusedDeletions(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	for _, err := range runConcurrently(64, func(int) error {
		return store.DeleteUser(t.Context(), census.Actor{ID: otherUser}, subject)
	}) {
		wantErr(t, "DeleteUser", err, census.ErrForbidden)
	}
}

// A caller who lists users page by page, while users are added and deleted, gets each user who
// existed all the time once, in order.
func TestPagesWhileUsersChange(t *testing.T) {
	t.Parallel()
	store, ctx := newStore(t), t.Context()
	var stay []int64
	for i := range 60 {
		stay = append(stay, mustCreate(t, store, census.User{Name: "Stays", Email: fmt.Sprintf("stays%d@example.com", i)}).ID)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var churn sync.WaitGroup
	churn.Go(func() { addAndDeleteUsers(ctx, t, store) })
	seen, last := map[int64]bool{}, int64(0)
	for more := true; more; {
		page, err := store.Users(ctx, census.Actor{ID: admin, Admin: true}, census.Query{After: last, Limit: 7})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Users) > 7 || page.More && len(page.Users) < 7 {
			t.Fatalf("a page of %d users, more: %t", len(page.Users), page.More)
		}
		for _, user := range page.Users {
			if user.ID <= last {
				t.Fatalf("user %d comes after %d", user.ID, last)
			}
			last = user.ID
			seen[user.ID] = true
		}
		more = page.More && last <= stay[len(stay)-1] // the churn may go on for ever
	}
	stop()
	churn.Wait()
	for _, id := range stay {
		if !seen[id] {
			t.Errorf("user %d was left out", id)
		}
	}
}

func addAndDeleteUsers(ctx context.Context, t *testing.T, store *postgres.Store) {
	for i := 0; ctx.Err() == nil; i++ {
		user, err := store.CreateUser(ctx, census.Operator(), census.User{Name: "Goes", Email: fmt.Sprintf("goes%d@example.com", i)})
		if err == nil && i%2 == 0 {
			err = store.DeleteUser(ctx, census.Actor{ID: user.ID}, user.ID)
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("churn: %v", err)
			return
		}
	}
}

// Several processes may migrate concurrently and repeatedly.
func TestConcurrentMigrations(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, nil)
	for range 2 {
		for _, err := range runConcurrently(4, func(int) error { return migrations.Up(t.Context(), databaseURL) }) {
			if err != nil {
				t.Error(err)
			}
		}
	}
}
