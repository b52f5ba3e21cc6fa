-- +goose Up
create table journal_entries (
    id         uuid primary key default gen_random_uuid(),
    owner      text not null, -- the URI of a user, or the name of a service
    user_id    bigint not null check (user_id > 0),
    text       text not null,
    created_at timestamptz not null default now()
);

-- +goose Down
drop table journal_entries;
