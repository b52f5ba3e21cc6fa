package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/postgres"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const creator = "https://census.service/user/21/"

var request = herald.Request{Creator: creator, UserID: 42, Type: herald.WelcomeMessage}

// start returns a store in a database of its own, and the database.
func start(t *testing.T) (*postgres.Store, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.NewPool(t, pgtest.New(t, migrations.Up))
	return postgres.New(pool, postgres.NewProcess()), pool
}

func create(t *testing.T, store *postgres.Store) *herald.Notification {
	t.Helper()
	n, err := store.Create(t.Context(), herald.Claim{Request: request})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rows counts the rows of a table.
func rows(t *testing.T, pool *pgxpool.Pool, table string) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), `select count(*) from `+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	if err := store.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	exec(t, pool, `drop table river_job`)
	if err := store.Ready(t.Context()); err == nil {
		t.Error("ready without its tables")
	}
}

func TestCreateKeepsNotificationAndJob(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	created := create(t, store)
	if created.Status != herald.Queued || created.Request != request || created.ID.Version() != 7 {
		t.Errorf("created %+v", created)
	}
	got, err := store.Notification(t.Context(), creator, created.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != created.ID || got.Request != request || got.Status != herald.Queued || got.PossibleDuplicate ||
		!got.CreatedAt.Equal(created.CreatedAt) || !got.UpdatedAt.Equal(created.CreatedAt) || got.NextAttemptAt != nil || len(got.Attempts) != 0 {
		t.Errorf("got %+v, created %+v", got, created)
	}
	var kind, args string
	var attempts int
	err = pool.QueryRow(t.Context(), `select kind, args, max_attempts from river_job`).Scan(&kind, &args, &attempts)
	if err != nil || kind != "delivery" || args != `{"notification_id": "`+created.ID.String()+`"}` || attempts < 1000 {
		t.Errorf("job %s %s, at most %d attempts, %v", kind, args, attempts, err)
	}
}

// TestCreateIsAllOrNothing has the job, and then the commit itself, fail.
func TestCreateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"job": `alter table river_job add check (kind <> 'delivery')`,
		"commit": `
			create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
			create constraint trigger refuse after insert on notifications deferrable initially deferred
			for each row execute function refuse()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, pool := start(t)
			exec(t, pool, spoil)
			claim, _, err := store.Claim(t.Context(), request, "key")
			if err != nil {
				t.Fatal(err)
			}
			if n, err := store.Create(t.Context(), claim); err == nil || n != nil {
				t.Errorf("created %+v, %v", n, err)
			}
			if n, jobs := rows(t, pool, "notifications"), rows(t, pool, "river_job"); n != 0 || jobs != 0 {
				t.Errorf("%d notifications, %d jobs", n, jobs)
			}
			if err := store.Release(t.Context(), claim); err != nil || rows(t, pool, "idempotency_keys") != 0 {
				t.Errorf("the key cannot be given up: %v", err)
			}
		})
	}
}

func TestNotificationIsItsCreatorsAlone(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	n := create(t, store)
	for name, test := range map[string]struct {
		creator string
		id      uuid.UUID
	}{
		"another user":     {"https://census.service/user/2/", n.ID},
		"the user":         {"https://census.service/user/42/", n.ID},
		"nobody":           {"", n.ID},
		"other case":       {"https://census.service/User/21/", n.ID},
		"no such":          {creator, uuid.Must(uuid.NewV7())},
		"the zero ID":      {creator, uuid.UUID{}},
		"longer creator":   {creator + "x", n.ID},
		"wildcard creator": {"https://census.service/user/%/", n.ID},
	} {
		if got, err := store.Notification(t.Context(), test.creator, test.id); !errors.Is(err, herald.ErrNotFound) || got != nil {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestErrorsOfTheDatabase(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	n := create(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"Create":       func() error { _, err := store.Create(ctx, herald.Claim{Request: request}); return err },
		"Notification": func() error { _, err := store.Notification(ctx, creator, n.ID); return err },
		"Claim":        func() error { _, _, err := store.Claim(ctx, request, "key"); return err },
		"Release":      func() error { return store.Release(ctx, herald.Claim{Key: "key"}) },
		"Pending":      func() error { _, err := store.Pending(ctx, n.ID); return err },
		"Conclude":     func() error { _, err := store.Conclude(ctx, postgres.Conclusion{}); return err },
		"HandBack":     func() error { return store.HandBack(ctx, postgres.Execution{}, 0) },
		"Discard":      func() error { return store.Discard(ctx, postgres.Execution{}, false) },
		"Absent":       func() error { _, err := store.Absent(ctx); return err },
		"Abandon":      func() error { _, err := store.Abandon(ctx, nil); return err },
		"Unclaimed":    func() error { _, err := store.Unclaimed(ctx, 0); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if rows(t, pool, "notifications") != 1 || rows(t, pool, "attempts") != 0 || rows(t, pool, "idempotency_keys") != 0 {
		t.Error("something was written")
	}
}
