-- +goose Up
-- The tokens already used, by the SHA-256 hash of issuer, NUL and jti (see package pgreplay).
-- Services that have one database share the table, because an issuer uses each jti once, whatever
-- the audience of the token is.
create table if not exists svcauth_replay (
    id         bytea primary key,
    expires_at timestamptz not null
);
create index if not exists svcauth_replay_expires_at_idx on svcauth_replay (expires_at);

-- +goose Down
drop table if exists svcauth_replay;
