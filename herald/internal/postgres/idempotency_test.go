package postgres_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/postgres"
)

func claim(t *testing.T, store *postgres.Store, r herald.Request, key string) herald.Claim {
	t.Helper()
	c, n, err := store.Claim(t.Context(), r, key)
	if err != nil || n != nil {
		t.Fatalf("claim: %+v, %v", n, err)
	}
	return c
}

func TestClaimWithoutKey(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	for range 2 {
		c := claim(t, store, request, "")
		if _, err := store.Create(t.Context(), c); err != nil {
			t.Error(err)
		}
		if err := store.Release(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	if n := rows(t, pool, "notifications"); n != 2 {
		t.Errorf("%d notifications", n)
	}
}

func TestSettledKeyGivesTheSameNotification(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	c := claim(t, store, request, "key")
	created, err := store.Create(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, pool, created.ID, "a")                       // the delivery starts meanwhile
	if err := store.Release(t.Context(), c); err != nil { // has no effect on a settled claim
		t.Error(err)
	}
	for range 2 {
		_, again, err := store.Claim(t.Context(), request, "key")
		if err != nil || again == nil || again.ID != created.ID || again.Request != request ||
			again.Status != herald.Queued || again.CreatedAt != created.CreatedAt || again.UpdatedAt != created.UpdatedAt {
			t.Errorf("got %+v, %v, want %+v", again, err, created)
		}
	}
	if n, jobs := rows(t, pool, "notifications"), rows(t, pool, "river_job"); n != 1 || jobs != 1 {
		t.Errorf("%d notifications, %d jobs", n, jobs)
	}
}

func TestSettledKeyRefusesAnotherRequest(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	if _, err := store.Create(t.Context(), claim(t, store, request, "key")); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]herald.Request{
		"user": {Creator: creator, UserID: 43, Type: herald.WelcomeMessage},
		"type": {Creator: creator, UserID: 42, Type: "other-message"},
	} {
		if _, n, err := store.Claim(t.Context(), other, "key"); !errors.Is(err, herald.ErrKeyReused) || n != nil {
			t.Errorf("other %s: %+v, %v", name, n, err)
		}
	}
	another := request
	another.Creator = "https://census.service/user/2/"
	claim(t, store, another, "key") // each creator has its own keys
	claim(t, store, request, "other key")
}

func TestClaimedKeyIsInUse(t *testing.T) {
	t.Parallel()
	store, _ := start(t)
	c := claim(t, store, request, "key")
	if _, _, err := store.Claim(t.Context(), request, "key"); !errors.Is(err, herald.ErrKeyInUse) {
		t.Errorf("claimed twice: %v", err)
	}
	if err := store.Release(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	claim(t, store, request, "key")
	if err := store.Release(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Claim(t.Context(), request, "key"); !errors.Is(err, herald.ErrKeyInUse) {
		t.Errorf("an old claim has released a new one: %v", err)
	}
	if _, err := store.Create(t.Context(), c); !errors.Is(err, herald.ErrKeyInUse) {
		t.Errorf("an old claim has been settled: %v", err)
	}
}

// TestExpiredClaimIsTakenOver has a process die between claim and response.
func TestExpiredClaimIsTakenOver(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	dead := claim(t, store, request, "key")
	exec(t, pool, `update idempotency_keys set claimed_at = claimed_at - interval '61 seconds'`)
	dead.At = dead.At.Add(-61e9)
	other := request
	other.UserID = 43
	next := claim(t, store, other, "key")
	if _, err := store.Create(t.Context(), dead); !errors.Is(err, herald.ErrKeyInUse) {
		t.Errorf("the old claim is still in force: %v", err)
	}
	if n, err := store.Create(t.Context(), next); err != nil || n.UserID != 43 {
		t.Errorf("got %+v, %v", n, err)
	}
	if n := rows(t, pool, "notifications"); n != 1 {
		t.Errorf("%d notifications", n)
	}
}

// TestClaimOfADeadProcess checks that the claim of a dead process expires after claimGrace, and
// that of a live process does not.
func TestClaimOfADeadProcess(t *testing.T) {
	t.Parallel()
	for alive, want := range map[bool]error{false: nil, true: herald.ErrKeyInUse} {
		store, pool := start(t)
		owner := postgres.New(pool, "owner")
		dead := claim(t, owner, request, "key")
		if alive {
			conn, err := pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			const lock = `select pg_advisory_lock_shared($1, hashtext('owner'))`
			if _, err := conn.Exec(t.Context(), lock, postgres.PresenceClass); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(conn.Release)
		}
		if _, _, err := store.Claim(t.Context(), request, "key"); !errors.Is(err, herald.ErrKeyInUse) {
			t.Errorf("alive %v, at once: %v", alive, err)
		}
		exec(t, pool, `update idempotency_keys set claimed_at = claimed_at - interval '3 seconds'`)
		dead.At = dead.At.Add(-3 * time.Second)
		if _, _, err := store.Claim(t.Context(), request, "key"); !errors.Is(err, want) {
			t.Errorf("alive %v, later: %v, want %v", alive, err, want)
		}
		if _, err := owner.Create(t.Context(), dead); (err == nil) != alive {
			t.Errorf("alive %v: the claim is settled with %v", alive, err)
		}
	}
}

// TestClaimsAtOnce has many requests claim one key at once. One creates a notification. The others
// get that notification or herald.ErrKeyInUse.
func TestClaimsAtOnce(t *testing.T) {
	t.Parallel()
	store, pool := start(t)
	var created atomic.Int32
	var wait sync.WaitGroup
	for range 30 {
		wait.Go(func() { race(t, store, &created) })
	}
	wait.Wait()
	if n := rows(t, pool, "notifications"); n != 1 || created.Load() != 1 {
		t.Errorf("%d notifications, %d created", n, created.Load())
	}
	checkOneKey(t, pool)
}

func race(t *testing.T, store *postgres.Store, created *atomic.Int32) {
	c, before, err := store.Claim(t.Context(), request, "key")
	switch {
	case errors.Is(err, herald.ErrKeyInUse) || err == nil && before != nil:
		return
	case err != nil:
		t.Error(err)
		return
	}
	if _, err := store.Create(t.Context(), c); err != nil {
		t.Error(err)
		return
	}
	created.Add(1)
}

func checkOneKey(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if n := rows(t, pool, "idempotency_keys where notification_id is not null"); n != 1 {
		t.Errorf("%d keys are settled", n)
	}
}
