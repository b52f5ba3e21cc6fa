package postgres_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/census"
	"example.com/micromachine/census/internal/postgres"
	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// The users of these tests. 21 may see 42. 1 is an administrator. 63 has no rights. 99 does not
// exist.
const (
	admin       = 1
	reader      = 21
	subject     = 42
	otherUser   = 63
	missingUser = 99
)

func newPool(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return pgtest.NewPool(tb, pgtest.New(tb, migrations.Up))
}

// newStore returns a store with the users of these tests.
func newStore(tb testing.TB) *postgres.Store {
	tb.Helper()
	store := postgres.New(newPool(tb))
	for _, id := range []int64{admin, reader, subject, otherUser} {
		mustCreate(tb, store, census.User{
			ID: id, Name: fmt.Sprintf("User %d", id), Email: fmt.Sprintf("user%d@example.com", id), Admin: id == admin,
		})
	}
	if err := store.AddViewer(tb.Context(), census.Operator(), subject, reader); err != nil {
		tb.Fatal(err)
	}
	return store
}

func mustCreate(tb testing.TB, store *postgres.Store, user census.User) census.User {
	tb.Helper()
	created, err := store.CreateUser(tb.Context(), census.Operator(), user)
	if err != nil {
		tb.Fatal(err)
	}
	return created
}

func wantErr(tb testing.TB, what string, got, want error) {
	tb.Helper()
	if !errors.Is(got, want) {
		tb.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Each operation on one user by each kind of actor. An actor that does not exist, or whose
// administrator rights the call may not use, gets the same error as another user. The error does
// not reveal whether the user exists.
func TestAuthorisation(t *testing.T) {
	t.Parallel()
	forbidden, notFound := census.ErrForbidden, census.ErrNotFound
	for _, row := range []struct {
		actor                      census.Actor
		id                         int64
		see, change, grant, delete error
	}{
		{actor: census.Actor{ID: subject}, id: subject},
		{actor: census.Actor{ID: subject, Admin: true}, id: subject},
		{actor: census.Actor{ID: admin, Admin: true}, id: subject},
		{actor: census.Operator(), id: subject},
		{census.Actor{ID: reader}, subject, nil, forbidden, forbidden, forbidden},
		{census.Actor{ID: reader, Admin: true}, subject, nil, forbidden, forbidden, forbidden},
		{census.Actor{ID: subject}, reader, forbidden, forbidden, forbidden, forbidden},
		{census.Actor{ID: admin}, subject, forbidden, forbidden, forbidden, forbidden},
		{census.Actor{ID: otherUser, Admin: true}, subject, forbidden, forbidden, forbidden, forbidden},
		{census.Actor{ID: otherUser}, missingUser, forbidden, forbidden, forbidden, forbidden},
		{census.Actor{ID: missingUser}, missingUser, forbidden, forbidden, forbidden, forbidden},
		{census.Actor{ID: missingUser, Admin: true}, subject, forbidden, forbidden, forbidden, forbidden},
		{census.Actor{}, subject, forbidden, forbidden, forbidden, forbidden},
		{census.Actor{}, 0, forbidden, forbidden, forbidden, forbidden},
		{census.Actor{ID: admin, Admin: true}, missingUser, notFound, notFound, notFound, notFound},
		{census.Actor{ID: admin}, missingUser, forbidden, forbidden, forbidden, forbidden},
	} {
		t.Run(fmt.Sprintf("%+v on %d", row.actor, row.id), func(t *testing.T) {
			t.Parallel()
			store, ctx := newStore(t), t.Context()
			user, err := store.User(ctx, row.actor, row.id)
			wantErr(t, "User", err, row.see)
			if err == nil && user.ID != row.id {
				t.Errorf("User = %+v, want %d", user, row.id)
			}
			name := "New Name"
			user, err = store.UpdateUser(ctx, row.actor, row.id, census.Update{Name: &name})
			wantErr(t, "UpdateUser", err, row.change)
			if err == nil && (user.ID != row.id || user.Name != name) {
				t.Errorf("UpdateUser = %+v", user)
			}
			wantErr(t, "AddViewer", store.AddViewer(ctx, row.actor, row.id, otherUser), row.grant)
			wantErr(t, "RemoveViewer", store.RemoveViewer(ctx, row.actor, row.id, otherUser), row.grant)
			wantErr(t, "DeleteUser", store.DeleteUser(ctx, row.actor, row.id), row.delete)
		})
	}
}

// Only administrators whose rights the call may use, and the operator, create and list users.
func TestAdministration(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		actor census.Actor
		want  error
	}{
		{census.Actor{ID: admin, Admin: true}, nil},
		{census.Operator(), nil},
		{census.Actor{ID: admin}, census.ErrForbidden},
		{census.Actor{ID: reader, Admin: true}, census.ErrForbidden},
		{census.Actor{ID: missingUser, Admin: true}, census.ErrForbidden},
		{census.Actor{Admin: true}, census.ErrForbidden},
	} {
		t.Run(fmt.Sprintf("%+v", row.actor), func(t *testing.T) {
			t.Parallel()
			store, ctx := newStore(t), t.Context()
			for _, query := range []census.Query{{Limit: 10}, {Limit: 10, After: missingUser}, {Limit: 10, Email: "user42@example.com"}} {
				page, err := store.Users(ctx, row.actor, query)
				wantErr(t, fmt.Sprintf("Users(%+v)", query), err, row.want)
				if err != nil && len(page.Users) != 0 {
					t.Errorf("Users(%+v) = %+v beside an error", query, page)
				}
			}
			user, err := store.CreateUser(ctx, row.actor, census.User{Name: "New", Email: "new@example.com"})
			wantErr(t, "CreateUser", err, row.want)
			if err == nil && user.ID <= otherUser {
				t.Errorf("CreateUser chose the ID %d, which the operator's choices should have skipped", user.ID)
			}
			if !row.actor.IsOperator() {
				_, err = store.CreateUser(ctx, row.actor, census.User{ID: 1000, Name: "New", Email: "other@example.com"})
				wantErr(t, "CreateUser with an ID", err, census.ErrForbidden)
			}
		})
	}
}

// A grant ends when it is removed or when the user who gave it is deleted.
func TestGrantsEnd(t *testing.T) {
	t.Parallel()
	store, ctx := newStore(t), t.Context()
	own := census.Actor{ID: subject}
	for range 2 { // both ways twice: the second time there is nothing to do
		wantErr(t, "AddViewer", store.AddViewer(ctx, own, subject, otherUser), nil)
	}
	if _, err := store.User(ctx, census.Actor{ID: otherUser}, subject); err != nil {
		t.Errorf("a viewer cannot see: %v", err)
	}
	for range 2 {
		wantErr(t, "RemoveViewer", store.RemoveViewer(ctx, own, subject, otherUser), nil)
	}
	_, err := store.User(ctx, census.Actor{ID: otherUser}, subject)
	wantErr(t, "User after RemoveViewer", err, census.ErrForbidden)
	if _, err := store.User(ctx, census.Actor{ID: reader}, subject); err != nil {
		t.Errorf("RemoveViewer also removed another user's grant: %v", err)
	}
	wantErr(t, "AddViewer of a missing user", store.AddViewer(ctx, own, subject, missingUser), census.ErrViewerNotFound)
	wantErr(t, "AddViewer of a missing user to a missing user", store.AddViewer(ctx, census.Operator(), missingUser, missingUser), census.ErrNotFound)

	wantErr(t, "DeleteUser", store.DeleteUser(ctx, own, subject), nil)
	for what, err := range map[string]error{
		"AddViewer":  store.AddViewer(ctx, own, subject, otherUser),
		"DeleteUser": store.DeleteUser(ctx, own, subject),
	} {
		wantErr(t, what+" by a deleted user", err, census.ErrForbidden)
	}
	// Nothing of the old grants comes back with the ID.
	mustCreate(t, store, census.User{ID: subject, Name: "Another", Email: "another@example.com"})
	_, err = store.User(ctx, census.Actor{ID: reader}, subject)
	wantErr(t, "User after the ID came back", err, census.ErrForbidden)
}

func TestUpdateUser(t *testing.T) {
	t.Parallel()
	store, ctx := newStore(t), t.Context()
	own := census.Actor{ID: subject}
	email, locale, taken, bad := "New@EXAMPLE.org", "de-at", "USER21@example.com", "x\r\ny"
	user, err := store.UpdateUser(ctx, own, subject, census.Update{Email: &email, Locale: &locale})
	want := census.User{ID: subject, Name: "User 42", Email: "New@example.org", Locale: "de-AT"}
	if user != want || err != nil {
		t.Errorf("UpdateUser = %+v, %v, want %+v", user, err, want)
	}
	user, err = store.UpdateUser(ctx, own, subject, census.Update{})
	if user != want || err != nil {
		t.Errorf("UpdateUser of nothing = %+v, %v, want %+v", user, err, want)
	}
	_, err = store.UpdateUser(ctx, own, subject, census.Update{Email: &taken})
	wantErr(t, "UpdateUser to another's address", err, census.ErrEmailTaken)
	var invalid *census.InvalidError
	if _, err = store.UpdateUser(ctx, own, subject, census.Update{Name: &bad}); !errors.As(err, &invalid) {
		t.Errorf("UpdateUser to a bad name: %v", err)
	}
	if user, err := store.User(ctx, own, subject); user != want || err != nil {
		t.Errorf("User = %+v, %v, want %+v", user, err, want)
	}
}

func TestOperatorsIDs(t *testing.T) {
	t.Parallel()
	store, ctx := postgres.New(newPool(t)), t.Context()
	for i, want := range []census.User{
		{ID: 1, Email: "a@example.com"}, // the sequence has not been used yet
		{ID: 0, Email: "b@example.com"},
		{ID: 7, Email: "c@example.com"},
		{ID: 0, Email: "d@example.com"},
		{ID: 5, Email: "e@example.com"}, // below the sequence, which stays
		{ID: 0, Email: "f@example.com"},
	} {
		want.Name = "Somebody"
		got := mustCreate(t, store, want)
		if id := []int64{1, 2, 7, 8, 5, 9}[i]; got.ID != id {
			t.Errorf("user %d got the ID %d, want %d", i, got.ID, id)
		}
	}
	_, err := store.CreateUser(ctx, census.Operator(), census.User{ID: 7, Name: "X", Email: "x@example.com"})
	wantErr(t, "a taken ID", err, census.ErrIDTaken)
	_, err = store.CreateUser(ctx, census.Operator(), census.User{ID: 70, Name: "X", Email: "A@example.com"})
	wantErr(t, "a taken address", err, census.ErrEmailTaken)
}

func TestReady(t *testing.T) {
	t.Parallel()
	if err := postgres.New(newPool(t)).Ready(t.Context()); err != nil {
		t.Errorf("with a schema: %v", err)
	}
	if err := postgres.New(pgtest.NewPool(t, pgtest.New(t, nil))).Ready(t.Context()); err == nil {
		t.Error("ready without a schema")
	}
}
