-- +goose Up
-- river_job.attempt numbers the executions of a notification's job. It never decreases while an
-- execution may still write, so it is the fencing token of all writes about an attempt.
alter table notifications
    add column if not exists job_id bigint,
    -- The number of the last execution whose end is recorded. If the next execution finds a gap,
    -- the results of the executions in between are not known.
    add column if not exists last_execution integer not null default 0,
    set (fillfactor = 70); -- leaves room for heap-only updates: each row is updated at least once

alter table idempotency_keys
    add column if not exists owner text; -- the process that claimed the key for a request

-- +goose Down
alter table idempotency_keys drop column owner;
alter table notifications reset (fillfactor), drop column last_execution, drop column job_id;
