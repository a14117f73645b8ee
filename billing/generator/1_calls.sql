-- The calls the books are about: who paid what for which work, and when. Everything follows from the call's number, so
-- that the same size always gives the same books. The command fills `generation` with one row before this file runs.

CREATE FUNCTION pg_temp.dice(p_number bigint, p_seed integer) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT (hashint8extended(p_number, p_seed) & 1048575)::double precision / 1048576
$$;

CREATE FUNCTION pg_temp.hexadecimal(p_prefix text, p_number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(p_prefix || p_number, 'UTF8')), 'hex')
$$;

-- The first ten characters of a ULID: milliseconds in base 32, as the telemetry's ids have them.
CREATE FUNCTION pg_temp.ulid_time(p_moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', ((extract(epoch FROM p_moment) * 1000)::bigint >> (5 * digit) & 31)::integer + 1, 1),
                      '' ORDER BY digit DESC)
    FROM generate_series(0, 9) AS digit
$$;

-- A tick is a hundred calls long; what happens within one has one time, as journals of one batch have.
CREATE TEMP TABLE tick AS
SELECT t.number, t.moment, pg_temp.ulid_time(t.moment) AS prefix
FROM (SELECT number, g.started_at + g.span * (number * 100.0 / (g.calls + 100)) AS moment
      FROM generation g, generate_series(0, g.calls / 100) AS number) t;
ALTER TABLE tick ADD PRIMARY KEY (number);

-- Wallets that pay per call, and users with prepaid money; both have an account.
CREATE TEMP TABLE payer AS
SELECT number, '0x' || substr(pg_temp.hexadecimal('wallet', number), 1, 40) AS wallet,
       'acc_' || pg_temp.ulid_time(g.started_at) || 'W' || lpad(number::text, 15, '0') AS account_id
FROM generation g, generate_series(0, g.wallets - 1) AS number;
CREATE TEMP TABLE prepaid AS
SELECT number, 'acc_' || pg_temp.ulid_time(g.started_at) || 'U' || lpad(number::text, 15, '0') AS account_id
FROM generation g, generate_series(0, g.users - 1) AS number;

-- One call paid on chain, and for seven in ten of them a call from prepaid money at the same time. A few customers make
-- most of the calls. `outcome`: 0 served with change, 1 served for exactly what was held, 2 given back, 3 still served.
CREATE TEMP TABLE call AS
SELECT c.n, c.wallet, c.prepaid, 12 + 12 * (c.wallet / 5) + 2 * (c.wallet % 5) AS wallet_held, 10 + 12 * c.prepaid AS available, c.amount, c.outcome, c.has_prepaid, c.held,
       CASE c.outcome WHEN 0 THEN c.amount * (40 + n % 60) / 100 WHEN 1 THEN c.amount WHEN 2 THEN 0 END AS charged,
       c.held * (30 + n % 65) / 100 AS cost,
       t.prefix || 'P' || lpad(c.n::text, 15, '0') AS place,
       'pay_' || substr(translate(encode(sha256(int8send(c.n)), 'base64'), '+/=', 'xyz'), 1, 22) AS payment_id,
       '0x' || pg_temp.hexadecimal('transaction', c.n / 20) AS transaction_hash,
       '0x' || pg_temp.hexadecimal('block', c.n / 20) AS block_hash,
       10000000 + c.n / 20 AS block_number, (c.n % 20)::integer AS log_index
FROM (SELECT n::bigint, floor(g.wallets * pg_temp.dice(n, 1) ^ 2)::integer AS wallet, floor(g.users * pg_temp.dice(n, 2) ^ 3)::integer AS prepaid,
             1000 + floor(9000 * pg_temp.dice(n, 3))::integer AS amount, 500 + floor(4500 * pg_temp.dice(n, 4))::integer AS held,
             CASE WHEN n > g.calls - g.calls / 1000 THEN 3 WHEN n % 50 = 7 THEN 2 WHEN n % 10 = 3 THEN 1 ELSE 0 END AS outcome,
             n % 10 < 7 AS has_prepaid
      FROM generation g, generate_series(1, g.calls) AS n) c
JOIN tick t ON t.number = c.n / 100;

-- Accounts. Their numbers are fixed so that postings can name them without looking: 1 to 6 belong to the system, and of
-- every twelve that follow two are a user's and ten those of five wallets, as customers of both kinds come.
INSERT INTO billing.account (id, name, denomination, shape, owner, opened_at) OVERRIDING SYSTEM VALUE
SELECT a.id, a.name, a.denomination, s.number, CASE WHEN s.owner = '' THEN '' ELSE substring(a.name FROM s.pattern) END, g.started_at
FROM generation g, LATERAL (
    VALUES (1, 'treasury:usdc_received:' || replace(g.usdc, '/erc20:', ':') || ':' || g.pay_to, g.usdc, 'treasury'),
           (2, 'system:revenue', g.usdc, 'revenue'), (3, 'system:revenue', 'MicroUSD', 'revenue'),
           (4, 'exchange:' || g.usdc || ':MicroUSD', g.usdc, 'exchange'), (5, 'exchange:' || g.usdc || ':MicroUSD', 'MicroUSD', 'exchange'),
           (6, 'system:credit_notes_expired', g.usdc, 'credit_notes_expired')
    UNION ALL SELECT 10 + 12 * u.number, 'user:' || u.account_id || ':available', 'MicroUSD', 'user_available' FROM prepaid u
    UNION ALL SELECT 11 + 12 * u.number, 'user:' || u.account_id || ':held', 'MicroUSD', 'user_held' FROM prepaid u
    UNION ALL SELECT 12 + 12 * (p.number / 5) + 2 * (p.number % 5), 'user:' || p.account_id || ':held', g.usdc, 'user_held' FROM payer p
    UNION ALL SELECT 13 + 12 * (p.number / 5) + 2 * (p.number % 5), 'system:credit_notes:' || p.wallet, g.usdc, 'credit_notes' FROM payer p
) AS a(id, name, denomination, shape) JOIN billing.account_shape s ON s.name = a.shape ORDER BY a.id;
SELECT setval(pg_get_serial_sequence('billing.account', 'id'), (SELECT max(id) FROM billing.account));
