-- Entries, credit notes and their movements, as the journals left them.

-- When each call's journals were recorded, and which they are.
CREATE TEMP TABLE booking AS
SELECT f.n, max(b.recorded_at) FILTER (WHERE f.step = 0) AS settled_at, max(b.recorded_at) FILTER (WHERE f.step = 1) AS resolved_at,
       max(b.recorded_at) FILTER (WHERE f.step = 2) AS reserved_at, max(b.recorded_at) FILTER (WHERE f.step = 3) AS committed_at,
       max(b.prefix || lpad(f.place::text, 16, '0')) FILTER (WHERE f.step = 1) AS resolved_by,
       max(b.prefix || lpad(f.place::text, 16, '0')) FILTER (WHERE f.step = 4) AS expired_by
FROM fact f JOIN batch b ON b.number = f.place / 400 WHERE f.step < 8 GROUP BY f.n;
DROP TABLE fact, event;
ANALYZE booking;

INSERT INTO billing.billing_entry (id, state, account_id, wallet, denomination, funding, held_amount, cost_amount, revenue_remaining, payment_id,
                                   correlation_id, reason, created_at, updated_at)
SELECT 'ent_' || c.place, CASE c.outcome WHEN 2 THEN 'RELEASED' WHEN 3 THEN 'RESERVE_HELD' ELSE 'FINALIZE_ACKED' END, p.account_id, p.wallet, g.usdc,
       'x402', c.amount, c.charged, coalesce(c.charged, 0), c.payment_id, 'quo_' || c.place,
       CASE c.outcome WHEN 2 THEN 'handler_failed' ELSE '' END, b.settled_at, coalesce(b.resolved_at, b.settled_at)
FROM generation g, call c JOIN booking b ON b.n = c.n JOIN payer p ON p.number = c.wallet ORDER BY c.n;

INSERT INTO billing.billing_entry (id, state, account_id, denomination, funding, held_amount, cost_amount, revenue_remaining, correlation_id,
                                   expires_at, created_at, updated_at)
SELECT 'ent_' || c.place || '_p', CASE c.outcome WHEN 3 THEN 'RESERVE_HELD' ELSE 'FINALIZE_ACKED' END, u.account_id, 'MicroUSD', 'prepaid', c.held,
       CASE WHEN c.outcome < 3 THEN c.cost END, CASE WHEN c.outcome < 3 THEN c.cost ELSE 0 END, 'req_' || c.place,
       b.reserved_at + interval '5 minutes', b.reserved_at, coalesce(b.committed_at, b.reserved_at)
FROM call c JOIN booking b ON b.n = c.n JOIN prepaid u ON u.number = c.prepaid WHERE c.has_prepaid ORDER BY c.n;

INSERT INTO billing.credit_note (id, wallet, denomination, kind, amount, remaining, source, journal_id, issued_at, expires_at)
SELECT 'not_' || c.place, p.wallet, g.usdc, CASE c.outcome WHEN 2 THEN 'owed' ELSE 'change' END, c.amount - c.charged,
       CASE WHEN b.expired_by IS NULL THEN c.amount - c.charged ELSE 0 END, c.payment_id, 'jrn_' || b.resolved_by, b.resolved_at,
       CASE c.outcome WHEN 0 THEN b.resolved_at + interval '7 days' END
FROM generation g, call c JOIN booking b ON b.n = c.n JOIN payer p ON p.number = c.wallet WHERE c.outcome IN (0, 2) ORDER BY c.n;

INSERT INTO billing.credit_note_movement (note_id, journal_id, reason, amount, remaining_after, entry_id)
SELECT 'not_' || c.place, m.journal_id, m.reason, m.amount, greatest(m.amount, 0), m.entry_id
FROM call c JOIN booking b ON b.n = c.n CROSS JOIN LATERAL (
    VALUES ('jrn_' || b.resolved_by, 'issued', c.amount - c.charged, 'ent_' || c.place),
           ('jrn_' || b.expired_by, 'expired', c.charged - c.amount, NULL)) AS m(journal_id, reason, amount, entry_id)
WHERE c.outcome IN (0, 2) AND m.journal_id IS NOT NULL ORDER BY m.journal_id;
