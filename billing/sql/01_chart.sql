-- The chart of accounts as rows: which shapes of account exist, and which postings each kind of journal may make.
-- Credit is positive, debit negative. The rows are the twin of billing/domain/accounts.py and posting_rules.py; a test compares them.

CREATE SCHEMA billing;

-- One row per shape of account. `number` is the bit this shape has in a kind's masks, so it never changes and stays below 31.
CREATE TABLE billing.account_shape (
    number smallint PRIMARY KEY CHECK (number BETWEEN 0 AND 30),
    name text NOT NULL UNIQUE,
    pattern text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('asset', 'liability', 'income', 'expense', 'equity')),
    is_sharded boolean NOT NULL,
    owner text NOT NULL CHECK (owner IN ('', 'user', 'wallet')),
    denomination_pattern text NOT NULL,
    floor bigint NOT NULL,
    cap bigint NOT NULL,
    -- A limit on a sharded account would have to read a sum over streams, which is write skew (rules R27, R31).
    CHECK (NOT is_sharded OR (floor = -9223372036854775807 AND cap = 9223372036854775807))
);

CREATE TABLE billing.journal_kind (
    kind text PRIMARY KEY CHECK (kind ~ '^[a-z][a-z0-9_]{2,39}$'),
    allowed_mask bigint NOT NULL DEFAULT 0,
    required_mask bigint NOT NULL DEFAULT 0,
    has_postings boolean NOT NULL,
    needs_entry boolean NOT NULL,
    needs_approval boolean NOT NULL,
    daily_limit bigint CHECK (daily_limit > 0)
);

-- Shape and sign of one posting that a kind may have; `is_required` when the kind has no sense without it (rule R34).
CREATE TABLE billing.posting_template (
    kind text NOT NULL REFERENCES billing.journal_kind,
    shape text NOT NULL REFERENCES billing.account_shape (name),
    sign smallint NOT NULL CHECK (sign IN (-1, 1)),
    is_required boolean NOT NULL,
    PRIMARY KEY (kind, shape, sign)
);

CREATE TABLE billing.account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 3 AND 300),
    denomination text COLLATE "C" NOT NULL CHECK (octet_length(denomination) BETWEEN 3 AND 120),
    shape smallint NOT NULL REFERENCES billing.account_shape,
    owner text NOT NULL DEFAULT '',
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (name, denomination)
);
CREATE INDEX account_owner ON billing.account (owner) WHERE owner <> '';

-- User accounts have one row (shard 0); system accounts one row per stream, so that streams never wait for each other.
CREATE TABLE billing.balance (
    account_id bigint NOT NULL REFERENCES billing.account,
    shard integer NOT NULL CHECK (shard >= 0),
    posted bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    floor bigint NOT NULL CHECK (floor <= 0),
    cap bigint NOT NULL CHECK (cap >= 0),
    PRIMARY KEY (account_id, shard),
    CONSTRAINT balance_within_limits CHECK (posted BETWEEN floor AND cap)
) WITH (fillfactor = 50);
