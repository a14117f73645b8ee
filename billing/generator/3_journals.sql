-- The journals with their hash chain. The text hashed is that of billing.canonical_journal, spelled out because a call
-- per journal costs more than the hash; `ledger_verify` and a test compare them.

CREATE FUNCTION pg_temp.next_hash(p_head bytea, p_content bytea, p_genesis bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN sha256(coalesce(p_head, p_genesis) || p_content);
END $$;
CREATE AGGREGATE pg_temp.chain(bytea, bytea) (sfunc = pg_temp.next_hash, stype = bytea);

CREATE TEMP TABLE fact AS
SELECT e.place, e.step, e.n, c.payment_id,
    CASE e.step
        WHEN 0 THEN 'x402_settled' WHEN 1 THEN CASE c.outcome WHEN 2 THEN 'credit_note_owed' ELSE 'billing_commit' END
        WHEN 2 THEN 'billing_reserve' WHEN 3 THEN 'billing_commit' WHEN 4 THEN 'credit_note_expired'
        WHEN 8 THEN 'credit_mint' ELSE 'stream_opened' END AS kind,
    CASE e.step
        WHEN 0 THEN 'settle:' || g.network || ':' || c.transaction_hash || ':' || c.block_hash || ':' || c.log_index
        WHEN 1 THEN CASE c.outcome WHEN 2 THEN 'owed:ent_' ELSE 'commit:ent_' END || c.place
        WHEN 2 THEN 'reserve:ent_' || c.place || '_p' WHEN 3 THEN 'commit:ent_' || c.place || '_p' WHEN 4 THEN 'expire:not_' || c.place || ':1'
        WHEN 8 THEN 'mint:' || u.account_id ELSE 'stream:' || e.n END AS key,
    CASE WHEN e.step IN (0, 1) THEN 'quo_' || c.place WHEN e.step IN (2, 3) THEN 'req_' || c.place ELSE '' END AS correlation_id,
    CASE WHEN e.step IN (0, 1) THEN 'ent_' || c.place WHEN e.step IN (2, 3) THEN 'ent_' || c.place || '_p' END AS entry_id,
    CASE e.step
        WHEN 0 THEN jsonb_build_object('payment_id', c.payment_id, 'tx_hash', c.transaction_hash, 'block_hash', c.block_hash,
                                       'block_number', c.block_number, 'log_index', c.log_index)
        WHEN 1 THEN jsonb_build_object('payment_id', c.payment_id, 'cost_micro_usdc', c.charged::text)
        WHEN 4 THEN jsonb_build_object('source', c.payment_id)
        WHEN 9 THEN jsonb_build_object('stream', e.n, 'lane', 'writer') ELSE '{}' END::text AS metadata
FROM generation g, event e LEFT JOIN call c ON c.n = e.n AND e.step < 8 LEFT JOIN prepaid u ON u.number = e.n AND e.step = 8;

CREATE TEMP TABLE content AS
SELECT f.place, b.stream::integer, b.first_sequence + f.place % 400 AS sequence, 'jrn_' || b.prefix || lpad(f.place::text, 16, '0') AS id,
       sha256(convert_to(concat(octet_length(f.key), ':', f.key, f.kind), 'UTF8')) AS body_hash,
       coalesce(p.posting_count, 0)::smallint AS posting_count, p.postings
FROM fact f JOIN batch b ON b.number = f.place / 400
LEFT JOIN (SELECT place, count(*) AS posting_count,
                  string_agg(concat(account, ',', shard, ',', version, ',', amount, ',', balance_after, ';'), '' ORDER BY line) AS postings
           FROM booked GROUP BY place) p ON p.place = f.place;
DROP TABLE booked;

-- Hashed in a narrow table: what the chain is sorted by goes through memory several times.
CREATE TEMP TABLE hashed AS
SELECT h.place, h.stream, h.sequence, h.hash, lag(h.hash, 1, sha256(convert_to('loa.stream:' || h.stream, 'UTF8'))) OVER following AS previous_hash
FROM (
    SELECT c.place, c.stream, c.sequence, pg_temp.chain(convert_to(concat(
               c.stream, ',', c.sequence, ',', b.micros, ',', b.micros, ',', encode(c.body_hash, 'hex'), ',',
               octet_length(c.id), ':', c.id, octet_length(f.kind), ':', f.kind, octet_length(f.key), ':', f.key,
               octet_length(f.correlation_id), ':', f.correlation_id, octet_length(f.metadata), ':', f.metadata,
               coalesce(octet_length(f.entry_id), 0), ':', f.entry_id, '0:0:', c.posting_count, ';', c.postings), 'UTF8'),
               sha256(convert_to('loa.stream:' || c.stream, 'UTF8'))) OVER (PARTITION BY c.stream ORDER BY c.sequence ROWS UNBOUNDED PRECEDING) AS hash
    FROM content c JOIN fact f ON f.place = c.place JOIN batch b ON b.number = c.place / 400
) h WINDOW following AS (PARTITION BY h.stream ORDER BY h.sequence);

INSERT INTO billing.journal (id, stream, sequence, kind, key, body_hash, previous_hash, hash, posting_count, effective_at, recorded_at,
                             correlation_id, entry_id, metadata, batch_first, closes_batch)
SELECT c.id, c.stream, c.sequence, f.kind, f.key, c.body_hash, h.previous_hash, h.hash, c.posting_count, b.recorded_at, b.recorded_at,
       f.correlation_id, f.entry_id, f.metadata::jsonb, b.first_sequence, c.sequence = b.first_sequence + b.journals - 1
FROM fact f JOIN content c ON c.place = f.place JOIN hashed h ON h.place = f.place JOIN batch b ON b.number = f.place / 400 ORDER BY f.place;

INSERT INTO billing.idempotency_key (key, body_hash, journal_id) SELECT key, body_hash, id FROM billing.journal;

INSERT INTO billing.stream (id, lane, head, opened_at)
SELECT number, 'writer', sha256(convert_to('loa.stream:' || number, 'UTF8')), g.started_at FROM generation g, generate_series(1, g.streams - 1) AS number;
UPDATE billing.stream s SET sequence = h.sequence, head = h.hash, last_recorded_at = h.recorded_at
FROM (SELECT DISTINCT ON (j.stream) j.stream, j.sequence, j.hash, j.recorded_at FROM billing.journal j ORDER BY j.stream, j.sequence DESC) h
WHERE h.stream = s.id;
DROP TABLE content, hashed;
