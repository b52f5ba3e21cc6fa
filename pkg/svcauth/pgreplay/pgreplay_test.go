package pgreplay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/pgreplay"
)

var _ svcauth.ReplayStore = (*pgreplay.Store)(nil)

func TestMain(m *testing.M) { pgtest.Main(m) }

// createTable creates the table of the package comment.
func createTable(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `
		create table svcauth_replay (id bytea primary key, expires_at timestamptz not null);
		create index on svcauth_replay (expires_at);`)
	return err
}

func newPool(t *testing.T, databaseURL string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func burn(t *testing.T, store *pgreplay.Store, issuer, id string, until time.Time) bool {
	t.Helper()
	first, err := store.Burn(t.Context(), issuer, id, until)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

const herald, shop = "https://herald.service/", "https://shop.service/"

// A token of an issuer can be burnt once. Another issuer may use the same ID.
func TestBurn(t *testing.T) {
	t.Parallel()
	store := pgreplay.New(newPool(t, pgtest.New(t, createTable)))
	until := time.Now().Add(time.Minute)
	for _, tt := range []struct {
		issuer, id string
		until      time.Time
		first      bool
	}{
		{herald, "a", until, true},
		{herald, "a", until, false},
		{herald, "a", until.Add(time.Hour), false},
		{herald, "a", time.Time{}, false},
		{shop, "a", until, true},
		{herald, "b", time.Time{}, true},
		{herald, "b", until, false},
		{herald, "\x00", until, true},
		{herald, "\xff", until, true},
	} {
		if got := burn(t, store, tt.issuer, tt.id, tt.until); got != tt.first {
			t.Errorf("burning %q of %s: %t", tt.id, tt.issuer, got)
		}
	}
}

// A token that has expired by the database's clock cannot be burnt, because the record of its first
// use may have been deleted. It is recorded all the same.
func TestBurnExpired(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t, createTable))
	store := pgreplay.New(pool)
	now := time.Now()
	for id, until := range map[string]time.Time{
		"just now": now, "a second ago": now.Add(-time.Second), "a year ago": now.AddDate(-1, 0, 0), "before 1970": time.Unix(-1, 0),
	} {
		if burn(t, store, herald, id, until) {
			t.Errorf("expired %s: burnt", id)
		}
		if burn(t, store, herald, id, now.Add(time.Hour)) {
			t.Errorf("expired %s: not recorded", id)
		}
	}
	if !burn(t, store, herald, "in a moment", now.Add(5*time.Second)) {
		t.Error("a token in its last moments is refused")
	}
}

// A token that expires while another transaction records its first use is refused, whether that
// transaction commits or not.
func TestBurnWaits(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t, createTable))
	other, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), `insert into svcauth_replay select sha256(convert_to($1, 'UTF8') || '\x00' || 'a'), now()`, herald); err != nil {
		t.Fatal(err)
	}
	burnt := make(chan bool)
	go func() {
		first, err := pgreplay.New(pool).Burn(t.Context(), herald, "a", time.Now().Add(300*time.Millisecond))
		if err != nil {
			t.Error(err)
		}
		burnt <- first
	}()
	<-time.After(500 * time.Millisecond)
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if <-burnt {
		t.Error("burnt after it had expired")
	}
}

// Of 1000 tokens that are sent to two replicas at once, each can be burnt exactly once.
func TestBurnConcurrently(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, createTable)
	replicas := []*pgreplay.Store{pgreplay.New(newPool(t, databaseURL)), pgreplay.New(newPool(t, databaseURL))}
	const tokens, workers = 1000, 8
	until := time.Now().Add(time.Minute)
	var passed [tokens]atomic.Int32
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for id := range tokens {
				first, err := replicas[worker%2].Burn(t.Context(), herald, strconv.Itoa(id), until)
				if err != nil {
					t.Error(err)
				}
				if first {
					passed[id].Add(1)
				}
			}
		})
	}
	all.Wait()
	for id := range tokens {
		if n := passed[id].Load(); n != 1 {
			t.Errorf("token %d passed %d times", id, n)
		}
	}
}

// remaining returns the number of records in the table.
func remaining(t *testing.T, pool *pgxpool.Pool) int {
	t.Helper()
	rows, err := pool.Query(t.Context(), `select count(*) from svcauth_replay`)
	if err != nil {
		t.Fatal(err)
	}
	count, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// Sweep deletes the records of tokens that expired a while ago, and no others.
func TestSweep(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t, createTable))
	store := pgreplay.New(pool)
	now := time.Now()
	kept := map[string]time.Time{
		"for ever":              {},
		"valid":                 now.Add(time.Minute),
		"of next year":          now.AddDate(1, 0, 0),
		"just expired":          now.Add(-time.Second), // a replica whose clock is behind may still accept it
		"expired 5 minutes ago": now.Add(-5 * time.Minute),
	}
	for id, until := range kept {
		burn(t, store, herald, id, until)
	}
	const expired = 2500 // more than a batch
	for i := range expired {
		burn(t, store, shop, strconv.Itoa(i), now.Add(-11*time.Minute-time.Duration(i)*time.Second))
	}
	if err := store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := remaining(t, pool); n != len(kept) {
		t.Errorf("%d records are left, want %d", n, len(kept))
	}
	for id := range kept {
		if burn(t, store, herald, id, now) {
			t.Errorf("%s: the record was deleted", id)
		}
	}
	if !burn(t, store, shop, "0", now.Add(time.Minute)) {
		t.Error("the record of an expired token was not deleted")
	}
}

// Concurrent sweeps share the work. They wait neither for each other nor for a row that another
// transaction has locked.
func TestSweepConcurrently(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.New(t, createTable)
	pool := newPool(t, databaseURL)
	store := pgreplay.New(pool)
	old := time.Now().Add(-time.Hour)
	for i := range 100 {
		burn(t, store, herald, fmt.Sprint(i), old)
	}
	locking, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locking.Exec(t.Context(), `select from svcauth_replay limit 1 for update`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := store.Sweep(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := remaining(t, newPool(t, databaseURL)); n != 1 {
		t.Errorf("%d records are left besides the locked one", n-1)
	}
	if err := locking.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A store that cannot answer returns an error, and burns nothing.
func TestBurnFails(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t, nil)) // without the table
	store := pgreplay.New(pool)
	if first, err := store.Burn(t.Context(), herald, "a", time.Now()); first || err == nil {
		t.Errorf("no table: %t, %v", first, err)
	}
	if err := store.Sweep(t.Context()); err == nil {
		t.Error("no table: no error from Sweep")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if first, err := store.Burn(ctx, herald, "a", time.Now()); first || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %t, %v", first, err)
	}
	pool.Close()
	if first, err := store.Burn(t.Context(), herald, "a", time.Now()); first || err == nil {
		t.Errorf("closed: %t, %v", first, err)
	}
}

// Run ends with its context.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	store := pgreplay.New(newPool(t, pgtest.New(t, createTable)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		store.Run(ctx, slog.New(slog.DiscardHandler))
	}()
	cancel()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("Run has not ended")
	}
}
