-- +goose Up
-- An execution of a notification's job is numbered by river_job.attempt, which never falls while an
-- execution may still write: the fencing token of all that is written about an attempt.
alter table notifications
    add column if not exists job_id bigint,
    -- The number of the last execution whose end is recorded. When the next one finds a gap, what
    -- came of those in between is not known.
    add column if not exists last_execution integer not null default 0,
    set (fillfactor = 70); -- each row is updated in place, once or more

alter table idempotency_keys
    add column if not exists owner text; -- the process whose request claimed the key

-- +goose Down
alter table idempotency_keys drop column owner;
alter table notifications reset (fillfactor), drop column last_execution, drop column job_id;
