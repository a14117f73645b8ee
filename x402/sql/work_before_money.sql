-- Payments that settle after their work: what they may do that others may not, and what one payer may have outstanding.

-- The payer's row is the one lock that its new payments take turns at (R12). Those that settle before their work are
-- counted and not refused: their money is looked for before anything is given.
CREATE FUNCTION x402_reserve(wanted x402_payment) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  outstanding bigint;
BEGIN
  PERFORM FROM x402_exposure e
    WHERE e.network = wanted.network AND e.asset = wanted.asset AND e.payer = wanted.payer FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO x402_exposure (network, asset, payer) VALUES (wanted.network, wanted.asset, wanted.payer) ON CONFLICT DO NOTHING;
    PERFORM FROM x402_exposure e
      WHERE e.network = wanted.network AND e.asset = wanted.asset AND e.payer = wanted.payer FOR UPDATE;
  END IF;
  IF wanted.settle_order = 'before' THEN
    RETURN;
  END IF;
  -- A later statement than the lock: it sees whatever committed before the lock was given. A payment that settled after
  -- the block of the balance is still in that balance.
  SELECT coalesce(sum(coalesce(p.actual_micro_usdc, p.amount_micro_usdc)), 0) INTO outstanding FROM x402_payment p
  WHERE p.payer = wanted.payer AND p.network = wanted.network AND p.asset = wanted.asset AND p.method IN ('eip3009', 'permit2')
    AND (p.verifying_contract, p.nonce) <> (wanted.verifying_contract, wanted.nonce)
    AND (p.state IN ('verified', 'settling', 'settlement_unknown') OR p.block_number > wanted.spendable_block)
    -- Nobody but us can settle an `upto` permit, and what failed is not settled.
    AND NOT (p.scheme = 'upto' AND p.work = 'failed');
  IF outstanding + wanted.amount_micro_usdc > coalesce(wanted.spendable_micro_usdc, -1) THEN
    RAISE EXCEPTION 'the payer has % outstanding and % to spend', outstanding, wanted.spendable_micro_usdc USING ERRCODE = 'LX012';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION x402_guard_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'a payment is never deleted' USING ERRCODE = '23514';
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'verified' OR NEW.attempt <> 1 THEN
      RAISE EXCEPTION 'a payment begins as verified, attempt 1' USING ERRCODE = '23514';
    END IF;
    IF NEW.method NOT IN ('credit_notes', 'api_key') THEN
      PERFORM x402_reserve(NEW);
    END IF;
    RETURN NEW;
  END IF;
  IF (NEW.id, NEW.network, NEW.verifying_contract, NEW.payer, NEW.nonce, NEW.asset, NEW.pay_to, NEW.amount_micro_usdc,
      NEW.credit_applied_micro_usdc, NEW.request_hash, NEW.entry_id, NEW.account_id, NEW.correlation_id, NEW.method, NEW.scheme,
      NEW.facilitator)
     IS DISTINCT FROM
     (OLD.id, OLD.network, OLD.verifying_contract, OLD.payer, OLD.nonce, OLD.asset, OLD.pay_to, OLD.amount_micro_usdc,
      OLD.credit_applied_micro_usdc, OLD.request_hash, OLD.entry_id, OLD.account_id, OLD.correlation_id, OLD.method, OLD.scheme,
      OLD.facilitator) THEN
    RAISE EXCEPTION 'what identifies payment % cannot change', OLD.id USING ERRCODE = '23514';
  END IF;
  IF OLD.actual_micro_usdc IS NOT NULL AND NEW.actual_micro_usdc IS DISTINCT FROM OLD.actual_micro_usdc THEN
    RAISE EXCEPTION 'what payment % settles is written once (R2)', OLD.id USING ERRCODE = '23514';
  END IF;
  IF NEW.settle_order <> OLD.settle_order AND NOT (OLD.settle_order = 'deferred' AND NEW.settle_order = 'after' AND OLD.work = 'running') THEN
    RAISE EXCEPTION 'when payment % settles cannot change from % to %', OLD.id, OLD.settle_order, NEW.settle_order USING ERRCODE = '23514';
  END IF;
  IF NEW.attempt < OLD.attempt THEN
    RAISE EXCEPTION 'the attempt of payment % only grows', OLD.id USING ERRCODE = '23514';
  END IF;
  IF NEW.state <> OLD.state AND NOT (OLD.state || '>' || NEW.state) = ANY (ARRAY[
    'verified>settling', 'verified>settled', 'verified>dead',
    'settling>settlement_unknown', 'settling>settled',
    'settlement_unknown>settling', 'settlement_unknown>settled', 'settlement_unknown>dead',
    'settled>settlement_unknown', 'settled>serving', 'settled>credited',
    'serving>served', 'serving>credited',
    'served>settlement_unknown',
    'credited>refunded'])
    -- Work that cost nothing is served without a settlement; work answered before its settlement ends with it.
    AND NOT (OLD.state || '>' || NEW.state = 'verified>served' AND NEW.actual_micro_usdc = 0 AND OLD.settle_order <> 'before')
    AND NOT (NEW.state = 'served' AND OLD.state IN ('verified', 'settling', 'settlement_unknown') AND OLD.work = 'answered'
      AND NEW.transaction_hash <> '' AND NEW.log_index IS NOT NULL) THEN
    RAISE EXCEPTION 'payment % cannot move from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = '23514';
  END IF;
  IF NEW.state <> OLD.state THEN
    IF NEW.state = 'settled' OR (NEW.state = 'served' AND OLD.work = 'answered') THEN
      NEW.settled_at := clock_timestamp();
    END IF;
    IF NEW.state = 'served' THEN
      NEW.served_at := coalesce(NEW.served_at, clock_timestamp());
    END IF;
    NEW.updated_at := clock_timestamp();
  END IF;
  RETURN NEW;
END $$;
