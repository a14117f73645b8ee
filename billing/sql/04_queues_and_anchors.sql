-- Dead letters of both queues, and anchored heads. These rows change; services outside the append function write them.

CREATE TABLE billing.dead_letter (
    id text COLLATE "C" PRIMARY KEY CHECK (octet_length(id) BETWEEN 5 AND 40),
    queue text NOT NULL CHECK (queue IN ('settlement', 'finalize')),
    subject_id text NOT NULL CHECK (subject_id <> ''),
    entry_id text,
    reason text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'poisoned', 'voided')),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    next_retry_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    schema_version smallint NOT NULL DEFAULT 1,
    payload jsonb NOT NULL,
    trace_context jsonb NOT NULL DEFAULT '{}',
    correlation_id text NOT NULL DEFAULT '',
    owner text NOT NULL DEFAULT '',
    lease_until timestamptz,
    last_error text NOT NULL DEFAULT '',
    resolution text NOT NULL DEFAULT '',
    resolved_by text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    escalated_at timestamptz,
    resolved_at timestamptz,
    CHECK ((payload ->> 'schema_version')::int IS NOT DISTINCT FROM schema_version::int)
);
-- One open letter per subject and queue: a second enqueue finds the first instead of retrying twice.
CREATE UNIQUE INDEX dead_letter_open ON billing.dead_letter (queue, subject_id) WHERE state IN ('pending', 'poisoned');
CREATE INDEX dead_letter_due ON billing.dead_letter (queue, next_retry_at) WHERE state = 'pending';
CREATE INDEX dead_letter_created ON billing.dead_letter (created_at);
CREATE INDEX dead_letter_entry ON billing.dead_letter (entry_id) WHERE entry_id IS NOT NULL;

CREATE TABLE billing.anchor (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heads jsonb NOT NULL,
    journal_count bigint NOT NULL CHECK (journal_count >= 0),
    trial_balance jsonb NOT NULL,
    timeline text NOT NULL DEFAULT '',
    previous_digest bytea NOT NULL,
    digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    signature bytea NOT NULL,
    key_id text NOT NULL
);
