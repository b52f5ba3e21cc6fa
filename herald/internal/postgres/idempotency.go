package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/micromachine/herald"
)

// The lifetime of a claim. While the claim's process is alive, the claim lasts a little longer than
// any request, as the reply to the claim may have been lost. When the process holds no presence
// lock, the claim lasts for claimGrace, as a live process may lose the lock for a moment. A claim
// that is taken over too early cannot be settled, so that at most one request settles a key.
const (
	claimLifetime = 15 * time.Second
	claimGrace    = 2 * time.Second
)

// Claim claims an idempotency key of the request's creator. [Store.Create] settles the claim, and
// [Store.Release] releases it. For an empty key Claim returns a claim without a key and stores
// nothing.
//
// If an equal request has settled the key, Claim returns the notification in its state at creation.
// The error is herald.ErrKeyInUse when another request has claimed the key, and herald.ErrKeyReused
// when a different request has settled it.
func (s *Store) Claim(ctx context.Context, r herald.Request, key string) (herald.Claim, *herald.Notification, error) {
	claim := herald.Claim{Request: r, Key: key}
	if key == "" {
		return claim, nil, nil
	}
	err := s.pool.QueryRow(ctx, `
		insert into idempotency_keys as k (creator, key, user_id, type, claimed_at, owner)
		values ($1, $2, $3, $4, now(), $7)
		on conflict (creator, key) do update
		set user_id = excluded.user_id, type = excluded.type, claimed_at = excluded.claimed_at, owner = excluded.owner
		where k.notification_id is null and (k.claimed_at < now() - $5::interval
			or k.claimed_at < now() - $6::interval and k.owner is not null and `+isAbsent(`k.owner`)+`)
		returning claimed_at`,
		r.Creator, key, r.UserID, r.Type, claimLifetime, claimGrace, s.process).Scan(&claim.At)
	if errors.Is(err, pgx.ErrNoRows) {
		n, err := s.settled(ctx, claim)
		return herald.Claim{}, n, err
	}
	if err != nil {
		return herald.Claim{}, nil, fmt.Errorf("claiming idempotency key: %w", err)
	}
	return claim, nil, nil
}

// settled returns the notification that settled a key.
func (s *Store) settled(ctx context.Context, claim herald.Claim) (*herald.Notification, error) {
	before := herald.Request{Creator: claim.Creator}
	var id uuid.UUID
	var createdAt time.Time
	err := s.pool.QueryRow(ctx, `
		select n.id, n.user_id, n.type, n.created_at
		from idempotency_keys k join notifications n on n.id = k.notification_id
		where k.creator = $1 and k.key = $2`,
		claim.Creator, claim.Key).Scan(&id, &before.UserID, &before.Type, &createdAt)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // claimed, or released a moment ago
		return nil, herald.ErrKeyInUse
	case err != nil:
		return nil, fmt.Errorf("reading idempotency key: %w", err)
	case before != claim.Request:
		return nil, herald.ErrKeyReused
	}
	return herald.New(id, before, createdAt.UTC()), nil
}

// Release deletes a claim, so that the key can be claimed again. It does nothing when the claim is
// settled or was taken over.
func (s *Store) Release(ctx context.Context, claim herald.Claim) error {
	if claim.Key == "" {
		return nil
	}
	_, err := s.pool.Exec(ctx, `
		delete from idempotency_keys
		where creator = $1 and key = $2 and claimed_at = $3 and notification_id is null`,
		claim.Creator, claim.Key, claim.At)
	if err != nil {
		return fmt.Errorf("releasing idempotency key: %w", err)
	}
	return nil
}
