-- +goose Up
-- Tokens that were used, by sha-256 of issuer, NUL, jti: see package pgreplay.
create table svcauth_replay (
    id         bytea primary key,
    expires_at timestamptz not null
);
create index svcauth_replay_expires_at_idx on svcauth_replay (expires_at);

-- +goose Down
drop table svcauth_replay;
