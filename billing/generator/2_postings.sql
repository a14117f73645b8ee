-- What was booked for the calls, in the order it was recorded in, and the postings with the balances they leave.

-- `step`: 0 settled, 1 resolved, 2 reserved, 3 prepaid resolved, 4 change expired, 8 prepaid money bought, 9 stream opened.
-- Change that is a week old expires when the call that much later is booked; 400 calls of slack cover the length of ticks.
CREATE TEMP TABLE event AS
SELECT row_number() OVER (ORDER BY o.rank) - 1 AS place, o.step, o.n, o.rank / 8 - g.users / 8 - 10 AS during
FROM generation g, LATERAL (
    SELECT number AS rank, 9 AS step, number AS n FROM generate_series(1, g.streams - 1) AS number
    UNION ALL SELECT 10 + u.number, 8, u.number FROM prepaid u
    UNION ALL
    SELECT (g.users / 8 + 10 + c.n) * 8 + step.number, step.number, c.n
    FROM call c CROSS JOIN generate_series(0, 3) AS step(number)
    WHERE (step.number <> 1 OR c.outcome < 3) AND (step.number < 2 OR c.has_prepaid) AND (step.number < 3 OR c.outcome < 3)
    UNION ALL
    SELECT (g.users / 8 + 10 + c.n + g.calls_a_week + 400) * 8 + 4, 4, c.n
    FROM call c WHERE c.outcome = 0 AND c.n + g.calls_a_week + 400 <= g.calls
) AS o(rank, step, n);

-- Batches of 400 journals go round the streams; a batch has one time, as one call of the append function has.
CREATE TEMP TABLE batch AS
SELECT b.number, b.number % g.streams AS stream, b.number / g.streams * 400 + 1 AS first_sequence, b.journals, t.moment AS recorded_at, t.prefix,
       (extract(epoch FROM t.moment) * 1000000)::bigint::text AS micros
FROM generation g, (SELECT place / 400 AS number, greatest(min(during), 0) AS during, count(*) AS journals FROM event GROUP BY 1) b
JOIN tick t ON t.number = b.during / 100;
ALTER TABLE batch ADD PRIMARY KEY (number);
ANALYZE event, call, batch, tick;

-- Accounts below 10 are the system's, with one balance per stream.
CREATE TEMP TABLE line AS
SELECT e.place, l.line::smallint AS line, l.account, CASE WHEN l.account < 10 THEN (e.place / 400 % g.streams)::integer ELSE 0 END AS shard, l.amount
FROM generation g, event e LEFT JOIN call c ON c.n = e.n CROSS JOIN LATERAL unnest(
    CASE e.step
        WHEN 0 THEN ARRAY[1, c.wallet_held]
        WHEN 1 THEN CASE c.outcome
            WHEN 0 THEN ARRAY[c.wallet_held, 2, c.wallet_held + 1]
            WHEN 1 THEN ARRAY[c.wallet_held, 2]
            ELSE ARRAY[c.wallet_held, c.wallet_held + 1] END
        WHEN 2 THEN ARRAY[c.available, c.available + 1]
        WHEN 3 THEN ARRAY[c.available + 1, 3, c.available]
        WHEN 4 THEN ARRAY[c.wallet_held + 1, 6]
        WHEN 8 THEN ARRAY[1, 4, 5, 10 + 12 * e.n::integer] END,
    CASE e.step
        WHEN 0 THEN ARRAY[-c.amount, c.amount]
        WHEN 1 THEN CASE c.outcome
            WHEN 0 THEN ARRAY[-c.amount, c.charged, c.amount - c.charged]
            ELSE ARRAY[-c.amount, c.amount] END
        WHEN 2 THEN ARRAY[-c.held, c.held]
        WHEN 3 THEN ARRAY[-c.held, c.cost, c.held - c.cost]
        WHEN 4 THEN ARRAY[c.charged - c.amount, c.amount - c.charged]
        WHEN 8 THEN ARRAY[-g.minted, g.minted, -g.minted, g.minted] END
) WITH ORDINALITY AS l(account, amount, line);

CREATE TEMP TABLE booked AS
SELECT place, line, account, shard, amount, row_number() OVER following AS version, sum(amount) OVER following AS balance_after
FROM line WINDOW following AS (PARTITION BY account, shard ORDER BY place, line ROWS UNBOUNDED PRECEDING);
DROP TABLE line;
ANALYZE booked;

INSERT INTO billing.balance (account_id, shard, posted, version, floor, cap)
SELECT p.account, p.shard, p.posted, p.version, s.floor, s.cap
FROM (SELECT account, shard, sum(amount)::bigint AS posted, count(*) AS version FROM booked GROUP BY account, shard) p
JOIN billing.account a ON a.id = p.account JOIN billing.account_shape s ON s.number = a.shape;

INSERT INTO billing.posting (journal_id, line, account_id, shard, version, amount, balance_after)
SELECT 'jrn_' || b.prefix || lpad(p.place::text, 16, '0'), p.line, p.account, p.shard, p.version, p.amount, p.balance_after
FROM booked p JOIN batch b ON b.number = p.place / 400 ORDER BY p.place, p.line;
