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
    RETURN NEW;
  END IF;
  IF (NEW.id, NEW.network, NEW.verifying_contract, NEW.payer, NEW.nonce, NEW.asset, NEW.pay_to, NEW.amount_micro_usdc,
      NEW.credit_applied_micro_usdc, NEW.request_hash, NEW.entry_id, NEW.account_id, NEW.correlation_id)
     IS DISTINCT FROM
     (OLD.id, OLD.network, OLD.verifying_contract, OLD.payer, OLD.nonce, OLD.asset, OLD.pay_to, OLD.amount_micro_usdc,
      OLD.credit_applied_micro_usdc, OLD.request_hash, OLD.entry_id, OLD.account_id, OLD.correlation_id) THEN
    RAISE EXCEPTION 'what identifies payment % cannot change', OLD.id USING ERRCODE = '23514';
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
    'credited>refunded']) THEN
    RAISE EXCEPTION 'payment % cannot move from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = '23514';
  END IF;
  IF NEW.state <> OLD.state THEN
    IF NEW.state = 'settled' THEN
      NEW.settled_at := clock_timestamp();
    ELSIF NEW.state = 'served' THEN
      NEW.served_at := clock_timestamp();
    END IF;
    NEW.updated_at := clock_timestamp();
  END IF;
  RETURN NEW;
END $$;
DROP FUNCTION x402_reserve(x402_payment);
