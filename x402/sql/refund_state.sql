-- A refund moves only along its life cycle, and what it pays to whom is written once (rule R4). What was signed is signed.
CREATE FUNCTION x402_guard_refund() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'a refund is never deleted' USING ERRCODE = '23514';
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'requested' OR NEW.nonce <> '' THEN
      RAISE EXCEPTION 'a refund begins as requested, unsigned' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
  END IF;
  IF (NEW.id, NEW.wallet, NEW.account_id, NEW.network, NEW.asset, NEW.amount_micro_usdc, NEW.note_id, NEW.idempotency_key, NEW.request_hash)
     IS DISTINCT FROM
     (OLD.id, OLD.wallet, OLD.account_id, OLD.network, OLD.asset, OLD.amount_micro_usdc, OLD.note_id, OLD.idempotency_key, OLD.request_hash) THEN
    RAISE EXCEPTION 'what refund % pays cannot change', OLD.id USING ERRCODE = '23514';
  END IF;
  IF OLD.nonce <> '' AND (NEW.nonce, NEW.paid_from, NEW.valid_before, NEW.signature, NEW.carried_by)
     IS DISTINCT FROM (OLD.nonce, OLD.paid_from, OLD.valid_before, OLD.signature, OLD.carried_by) THEN
    RAISE EXCEPTION 'refund % is signed once', OLD.id USING ERRCODE = '23514';
  END IF;
  IF NEW.state <> OLD.state AND NOT (OLD.state || '>' || NEW.state) = ANY (ARRAY[
    'requested>started', 'requested>refused', 'started>sent', 'started>failed', 'sent>paid', 'sent>failed']) THEN
    RAISE EXCEPTION 'refund % cannot move from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = '23514';
  END IF;
  IF NEW.state = 'sent' AND NEW.nonce = '' THEN
    RAISE EXCEPTION 'refund % is not signed', OLD.id USING ERRCODE = '23514';
  END IF;
  IF NEW.state <> OLD.state THEN
    NEW.updated_at := clock_timestamp();
    IF NEW.state IN ('paid', 'failed', 'refused') THEN
      NEW.ended_at := clock_timestamp();
    END IF;
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER x402_guard_refund BEFORE INSERT OR UPDATE OR DELETE ON x402_refund
  FOR EACH ROW EXECUTE FUNCTION x402_guard_refund();
ALTER TABLE x402_refund ENABLE ALWAYS TRIGGER x402_guard_refund;
CREATE TRIGGER x402_refund_no_truncate BEFORE TRUNCATE ON x402_refund
  FOR EACH STATEMENT EXECUTE FUNCTION x402_refuse_change();
ALTER TABLE x402_refund ENABLE ALWAYS TRIGGER x402_refund_no_truncate;
