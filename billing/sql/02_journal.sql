-- Streams, journals, postings and idempotency keys.

CREATE TABLE billing.stream (
    id integer PRIMARY KEY CHECK (id >= 0),
    lane text NOT NULL CHECK (lane IN ('writer', 'inline')),
    last_token bigint NOT NULL DEFAULT 0 CHECK (last_token BETWEEN 0 AND 9007199254740991),
    holder text NOT NULL DEFAULT '',
    epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    sequence bigint NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    head bytea NOT NULL CHECK (octet_length(head) = 32),
    last_recorded_at timestamptz NOT NULL DEFAULT '-infinity',
    closed_until timestamptz NOT NULL DEFAULT '-infinity',
    last_transaction xid8,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 20);

CREATE TABLE billing.journal (
    id text COLLATE "C" PRIMARY KEY CHECK (octet_length(id) BETWEEN 5 AND 40),
    stream integer NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    kind text NOT NULL,
    key text COLLATE "C" NOT NULL,
    body_hash bytea NOT NULL CHECK (octet_length(body_hash) = 32),
    previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    posting_count smallint NOT NULL CHECK (posting_count = 0 OR posting_count >= 2),
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    correlation_id text NOT NULL DEFAULT '',
    entry_id text,
    approval_id text,
    reverses text,
    metadata jsonb NOT NULL DEFAULT '{}',
    schema_version smallint NOT NULL DEFAULT 1,
    batch_first bigint NOT NULL,
    closes_batch boolean NOT NULL,
    CONSTRAINT journal_stream_sequence UNIQUE (stream, sequence)
);
CREATE INDEX journal_correlation ON billing.journal (correlation_id) WHERE correlation_id <> '';
CREATE INDEX journal_entry ON billing.journal (entry_id) WHERE entry_id IS NOT NULL;
CREATE UNIQUE INDEX journal_approval_once ON billing.journal (approval_id) WHERE approval_id IS NOT NULL;
CREATE UNIQUE INDEX journal_reversed_once ON billing.journal (reverses) WHERE reverses IS NOT NULL;

-- No foreign key per row: the statement trigger of 05_guards.sql proves journal and account of every posting in one query,
-- also when session_replication_role would have switched foreign keys off.
CREATE TABLE billing.posting (
    journal_id text COLLATE "C" NOT NULL,
    line smallint NOT NULL CHECK (line > 0),
    account_id bigint NOT NULL,
    shard integer NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    amount bigint NOT NULL CHECK (amount <> 0 AND amount > -9223372036854775808),
    balance_after bigint NOT NULL,
    PRIMARY KEY (journal_id, line)
);
CREATE UNIQUE INDEX posting_account_version ON billing.posting (account_id, shard, version) INCLUDE (amount, balance_after);

-- Not partitioned and never to be: a UNIQUE on a partitioned table holds the partition column, which ends global uniqueness (R28).
CREATE TABLE billing.idempotency_key (
    key text COLLATE "C" PRIMARY KEY CHECK (octet_length(key) BETWEEN 1 AND 255),
    body_hash bytea NOT NULL,
    journal_id text COLLATE "C" NOT NULL
);
