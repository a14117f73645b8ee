-- The payment of every generated call with the log that paid for it, its transaction, and a hundredth more that never settled.

INSERT INTO x402_payment (id, state, attempt, method, scheme, protocol_version, network, verifying_contract, payer, nonce, asset, pay_to,
    amount_micro_usdc, credit_applied_micro_usdc, credit_held, valid_after, valid_before, signature, payer_has_code, request_hash, request_method,
    request_path, quote_id, quote_token_hash, price_version, idempotency_key_hash, correlation_id, trace_context, account_id, entry_id, on_crash,
    transaction_hash, block_hash, block_number, log_index, first_broadcast_at, settled_at, charged_micro_usdc, overrun_micro_usdc, failure_code,
    failure_status, served_at, created_at, updated_at)
SELECT c.payment_id, CASE c.outcome WHEN 2 THEN 'credited' WHEN 3 THEN 'serving' ELSE 'served' END, 1, 'eip3009', 'exact', 2, g.network, g.asset,
       p.wallet, '0x' || pg_temp.hexadecimal('nonce', c.n), g.asset, g.pay_to, c.amount, 0, false, 0,
       extract(epoch FROM b.settled_at)::bigint + 300, decode(pg_temp.hexadecimal('signature', c.n) || pg_temp.hexadecimal('s', c.n) || '1b', 'hex'), false,
       pg_temp.hexadecimal('request', c.n), 'POST', '/api/v1/x402/invoke', 'quo_' || c.place, '', 1, '', 'quo_' || c.place, '', p.account_id,
       'ent_' || c.place, 'credit', c.transaction_hash, c.block_hash, c.block_number, c.log_index, b.settled_at - interval '1 second', b.settled_at,
       c.charged, 0, CASE c.outcome WHEN 2 THEN 'handler_failed' ELSE '' END, CASE c.outcome WHEN 2 THEN 500 END,
       CASE WHEN c.outcome < 2 THEN b.resolved_at END, b.settled_at - interval '2 seconds', coalesce(b.resolved_at, b.settled_at)
FROM generation g, call c JOIN booking b ON b.n = c.n JOIN payer p ON p.number = c.wallet ORDER BY c.n;

INSERT INTO x402_payment (id, state, attempt, method, scheme, protocol_version, network, verifying_contract, payer, nonce, asset, pay_to,
    amount_micro_usdc, credit_applied_micro_usdc, credit_held, valid_after, valid_before, signature, payer_has_code, request_hash, request_method,
    request_path, quote_id, quote_token_hash, price_version, idempotency_key_hash, correlation_id, trace_context, account_id, entry_id, on_crash,
    transaction_hash, block_hash, overrun_micro_usdc, failure_code, failure_status, created_at, updated_at)
SELECT 'pay_' || substr(pg_temp.hexadecimal('dead', c.n), 1, 22), 'dead', 1, 'eip3009', 'exact', 2, g.network, g.asset, p.wallet,
       '0x' || pg_temp.hexadecimal('dead', c.n), g.asset, g.pay_to, c.amount, 0, false, 0, extract(epoch FROM b.settled_at)::bigint + 300,
       '\x', false, pg_temp.hexadecimal('request', c.n), 'POST', '/api/v1/x402/invoke', 'quo_' || c.place || '_d', '', 1, '', 'quo_' || c.place || '_d', '',
       p.account_id, 'ent_' || c.place || '_d', 'credit', '', '', 0, 'insufficient_funds', 402, b.settled_at - interval '1 second', b.settled_at
FROM generation g, call c JOIN booking b ON b.n = c.n JOIN payer p ON p.number = c.wallet WHERE c.n % 100 = 50;

INSERT INTO x402_chaintransaction (network, relayer, nonce, transaction_hash, raw, state, gas_limit, max_fee_per_gas_wei, max_priority_fee_per_gas_wei,
    payment_count, block_number, block_hash, gas_used, fee_wei, succeeded, created_at, broadcast_at)
SELECT g.network, g.relayer, t.number, '0x' || pg_temp.hexadecimal('transaction', t.number), '\x02', 'mined', 1500000, 1000000000, 1000000,
       t.payments, 10000000 + t.number, '0x' || pg_temp.hexadecimal('block', t.number), 40000 + 50000 * t.payments,
       (40000 + 50000 * t.payments) * 1000000, true, t.settled_at - interval '2 seconds', t.settled_at - interval '1 second'
FROM generation g, (SELECT c.n / 20 AS number, count(*) AS payments, min(b.settled_at) AS settled_at
                    FROM call c JOIN booking b ON b.n = c.n GROUP BY 1) t ORDER BY t.number;

INSERT INTO x402_settlementattempt (payment_id, transaction_id, position, created_at)
SELECT c.payment_id, t.id, c.log_index, t.created_at FROM call c JOIN x402_chaintransaction t ON t.nonce = c.n / 20 ORDER BY c.n;
INSERT INTO x402_consumedlog (network, transaction_hash, log_index, beneficiary, created_at)
SELECT g.network, c.transaction_hash, c.log_index, c.payment_id, b.settled_at FROM generation g, call c JOIN booking b ON b.n = c.n ORDER BY c.n;
INSERT INTO x402_relayer (network, address, holder, epoch, next_nonce)
SELECT g.network, g.relayer, '', 1, max(t.nonce) + 1 FROM generation g, x402_chaintransaction t GROUP BY 1, 2;
