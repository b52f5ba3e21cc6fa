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

-- An attempt that reached the mail server is recorded before it begins: one
-- without an outcome is under way, or was when its process died.
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

-- A key without a notification is claimed by a request that is being answered.
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
