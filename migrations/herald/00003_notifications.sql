-- +goose Up
create table notifications (
    id                 uuid primary key,
    creator            text not null,
    user_id            bigint not null,
    type               text not null,
    status             text not null check (status in ('queued', 'sending', 'sent', 'failed')),
    possible_duplicate boolean not null default false,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    next_attempt_at    timestamptz
);

-- An attempt is recorded before it reaches the mail server. While outcome is null, the attempt is
-- in progress, or its process was killed before the attempt ended.
create table attempts (
    notification_id uuid not null references notifications on delete cascade,
    number          integer not null check (number > 0),
    started_at      timestamptz not null,
    finished_at     timestamptz,
    outcome         text check (outcome in ('accepted', 'refused', 'deferred', 'unknown')),
    smtp_code       integer,
    detail          text,
    primary key (notification_id, number),
    check ((finished_at is null) = (outcome is null))
);

-- While notification_id is null, the request that claimed the key is still in progress.
create table idempotency_keys (
    creator         text not null,
    key             text not null,
    user_id         bigint not null,
    type            text not null,
    claimed_at      timestamptz not null,
    notification_id uuid references notifications on delete cascade,
    primary key (creator, key)
);
create index idempotency_keys_notification_id_idx on idempotency_keys (notification_id);

-- +goose Down
drop table idempotency_keys;
drop table attempts;
drop table notifications;
