-- +goose Up
-- Tokens that were used, by sha-256 of issuer, NUL, jti: see package pgreplay. Where both services have one database,
-- they share the table: the jti of a token is unique for all that its issuer makes, whoever they are for.
create table if not exists svcauth_replay (
    id         bytea primary key,
    expires_at timestamptz not null
);
create index if not exists svcauth_replay_expires_at_idx on svcauth_replay (expires_at);

-- +goose Down
drop table if exists svcauth_replay;
