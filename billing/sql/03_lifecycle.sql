-- What a journal moves besides money: billing entries, credit notes, rows of registered tables; and what people must approve.

CREATE TABLE billing.entry_lifecycle (
    from_state text NOT NULL,
    to_state text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO billing.entry_lifecycle VALUES
    ('IDLE', 'RESERVE_HELD'),
    ('RESERVE_HELD', 'COMMITTED'), ('RESERVE_HELD', 'RELEASED'),
    ('COMMITTED', 'FINALIZE_ACKED'), ('COMMITTED', 'FINALIZE_PENDING'), ('COMMITTED', 'VOIDED'),
    ('FINALIZE_PENDING', 'FINALIZE_ACKED'), ('FINALIZE_PENDING', 'FINALIZE_FAILED'),
    ('FINALIZE_FAILED', 'FINALIZE_ACKED'), ('FINALIZE_FAILED', 'VOIDED');

CREATE TABLE billing.billing_entry (
    id text COLLATE "C" PRIMARY KEY CHECK (octet_length(id) BETWEEN 5 AND 40),
    state text NOT NULL,
    account_id text NOT NULL CHECK (account_id <> ''),
    wallet text NOT NULL DEFAULT '',
    denomination text NOT NULL,
    funding text NOT NULL CHECK (funding IN ('prepaid', 'x402', 'credit')),
    held_amount bigint NOT NULL CHECK (held_amount > 0),
    cost_amount bigint CHECK (cost_amount >= 0),
    revenue_remaining bigint NOT NULL DEFAULT 0 CHECK (revenue_remaining >= 0),
    payment_id text NOT NULL DEFAULT '',
    correlation_id text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    spend_key text,
    expires_at timestamptz,
    lease_until timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Only prepaid reserves expire; settled money is resolved by its payment alone (rule R14).
    CHECK (expires_at IS NULL OR funding = 'prepaid')
) WITH (fillfactor = 70);
CREATE INDEX billing_entry_payment ON billing.billing_entry (payment_id) WHERE payment_id <> '';
CREATE INDEX billing_entry_account ON billing.billing_entry (account_id, created_at);
CREATE INDEX billing_entry_expiry ON billing.billing_entry (expires_at) WHERE state = 'RESERVE_HELD' AND expires_at IS NOT NULL;
CREATE INDEX billing_entry_pending ON billing.billing_entry (updated_at) WHERE state IN ('FINALIZE_PENDING', 'FINALIZE_FAILED');
CREATE UNIQUE INDEX billing_entry_spend_once ON billing.billing_entry (wallet, spend_key) WHERE spend_key IS NOT NULL;

CREATE TABLE billing.credit_note (
    id text COLLATE "C" PRIMARY KEY CHECK (octet_length(id) BETWEEN 5 AND 40),
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    wallet text NOT NULL CHECK (wallet <> ''),
    denomination text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('change', 'owed')),
    amount bigint NOT NULL CHECK (amount > 0),
    remaining bigint NOT NULL CHECK (remaining BETWEEN 0 AND amount),
    source text NOT NULL,
    journal_id text NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz,
    refundable_at timestamptz,
    -- A note of kind owed is the payer's money and never becomes income (rule R15).
    CHECK ((kind = 'owed') = (expires_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX credit_note_open ON billing.credit_note (wallet, denomination, number) WHERE remaining > 0;
CREATE INDEX credit_note_expiry ON billing.credit_note (expires_at) WHERE remaining > 0;
CREATE INDEX credit_note_source ON billing.credit_note (source);
CREATE INDEX credit_note_journal ON billing.credit_note (journal_id);

CREATE TABLE billing.credit_note_movement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    note_id text NOT NULL REFERENCES billing.credit_note,
    journal_id text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('issued', 'spent', 'expired', 'refunded', 'clawed_back', 'returned')),
    amount bigint NOT NULL CHECK (amount <> 0),
    remaining_after bigint NOT NULL CHECK (remaining_after >= 0),
    entry_id text
);
CREATE INDEX credit_note_movement_note ON billing.credit_note_movement (note_id);
CREATE INDEX credit_note_movement_journal ON billing.credit_note_movement (journal_id);
CREATE INDEX credit_note_movement_entry ON billing.credit_note_movement (entry_id) WHERE entry_id IS NOT NULL;

-- Tables of other apps whose state may move together with money. The owning app's migration registers its own.
CREATE TABLE billing.transition_table (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{2,62}$'),
    relation regclass NOT NULL UNIQUE,
    state_column text NOT NULL,
    attempt_column text NOT NULL,
    allowed_columns text[] NOT NULL
);

CREATE TABLE billing.approval (
    id text COLLATE "C" PRIMARY KEY CHECK (octet_length(id) BETWEEN 5 AND 40),
    kind text NOT NULL REFERENCES billing.journal_kind,
    target text NOT NULL CHECK (target <> ''),
    target_version text NOT NULL DEFAULT '',
    denomination text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    destination text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    maker text NOT NULL CHECK (maker <> ''),
    content_hash bytea NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX approval_maker ON billing.approval (maker, kind, requested_at);

-- The second pair of eyes is a row of its own, so that both are append-only.
CREATE TABLE billing.approval_grant (
    approval_id text PRIMARY KEY REFERENCES billing.approval,
    checker text NOT NULL CHECK (checker <> ''),
    content_hash bytea NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How much of a kind's daily limit an owner has used; one locked row, never a sum over journals (rules R27, R34).
CREATE TABLE billing.daily_use (
    kind text NOT NULL REFERENCES billing.journal_kind,
    owner text NOT NULL,
    denomination text NOT NULL,
    day date NOT NULL,
    amount bigint NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (kind, owner, denomination, day)
);
