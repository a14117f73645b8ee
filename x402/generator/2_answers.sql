-- The stored answer of every served call: its body within the day it is kept, the bare row afterwards.

INSERT INTO x402_storedanswer (payment_id, attempt, status, headers, body_encrypted, created_at)
SELECT c.payment_id, 1, 200, '{"Content-Type": "application/json"}',
       CASE WHEN b.resolved_at > clock_timestamp() - interval '24 hours'
            THEN decode(repeat(pg_temp.hexadecimal('answer', c.n), 6), 'hex') END, b.resolved_at
FROM call c JOIN booking b ON b.n = c.n WHERE c.outcome < 2 ORDER BY c.n;
