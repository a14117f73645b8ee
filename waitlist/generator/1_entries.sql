-- The waitlist of ninety days: most wait, some were invited or came in, a few are unconfirmed or have left, and those no
-- longer ago than they are kept. Every tenth was sent by a friend: number 10 k by number k.

CREATE TEMP TABLE person AS
SELECT n, created_at, wallet, state, created_at + interval '3 minutes' AS confirmed_at,
       'wle_' || pg_temp.ulid_time(created_at) || 'L' || lpad(n::text, 15, '0') AS id,
       substr(translate(encode(sha256(convert_to('referral' || n, 'UTF8')), 'base64'), '+/=', 'xyz'), 1, 10) AS referral_code
FROM (
    SELECT n, g.started_at + g.span * (n::float8 / g.waitlist_entries) AS created_at, n % 5 = 0 AS wallet,
           CASE WHEN n > g.waitlist_entries * 0.7 AND n % 12 = 0 THEN 'pending' WHEN n > g.waitlist_entries * 0.7 AND n % 50 = 7 THEN 'left'
                WHEN n < g.waitlist_entries * 0.1 THEN 'accepted' WHEN n < g.waitlist_entries * 0.2 THEN 'invited' ELSE 'waiting' END AS state
    FROM generation g, generate_series(1, g.waitlist_entries) AS n) p;

INSERT INTO waitlist_entry (id, state, email, email_key, wallet, language, consent_version, consented_at, created_at, confirmed_at, invited_at,
                            accepted_at, left_at, last_mail_at, rank_at, referral_code, referred_by_id, friends_confirmed, link_number)
SELECT p.id, p.state, CASE WHEN p.wallet THEN '' ELSE 'Person' || p.n || '@example.com' END,
       CASE WHEN NOT p.wallet THEN 'person' || p.n || '@example.com' END,
       CASE WHEN p.wallet THEN '0x' || substr(pg_temp.hexadecimal('waiting', p.n), 1, 40) END,
       CASE WHEN p.n % 3 = 0 THEN 'de' ELSE 'en' END, '1', p.created_at, p.created_at,
       CASE WHEN p.state <> 'pending' THEN p.confirmed_at END,
       CASE WHEN p.state IN ('invited', 'accepted') THEN p.confirmed_at + interval '10 days' END,
       CASE WHEN p.state = 'accepted' THEN p.confirmed_at + interval '11 days' END,
       CASE WHEN p.state = 'left' THEN p.confirmed_at + interval '1 day' END, p.created_at,
       CASE WHEN p.state NOT IN ('pending', 'left') THEN p.confirmed_at - CASE WHEN f.n IS NULL THEN interval '0' ELSE interval '1 day' END END,
       p.referral_code, r.id, CASE WHEN f.n IS NULL THEN 0 ELSE 1 END, 0
FROM person p LEFT JOIN person f ON f.n = p.n * 10 AND f.state <> 'pending'
LEFT JOIN person r ON p.n % 10 = 0 AND r.n = p.n / 10 ORDER BY p.n;

-- Mail is remembered for thirty days; the newest of it is still to be sent.
INSERT INTO waitlist_mail (entry_id, kind, state, tries, due_at, last_error, created_at, sent_at)
SELECT p.id, CASE WHEN p.state = 'pending' THEN 'confirm' ELSE 'welcome' END,
       CASE WHEN p.n > g.waitlist_entries - 50 THEN 'queued' ELSE 'sent' END, 1, p.created_at, '', p.created_at,
       CASE WHEN p.n <= g.waitlist_entries - 50 THEN p.created_at END
FROM generation g, person p WHERE NOT p.wallet AND p.created_at > clock_timestamp() - interval '30 days' ORDER BY p.n;
