-- What a call by API key did not cost is given back to the key's use of its day, in the transaction in which the payment ends.
-- A call takes its maximum when its row is made; so a cap counts what is charged and what is held, and nothing twice (R27, R34).
-- Runs as its owner: the ledger moves payments too, and knows nothing of keys.
CREATE FUNCTION x402_give_back_to_key() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  UPDATE accounts_apikeyuse u
  SET amount_micro_usd = greatest(0, u.amount_micro_usd - NEW.credit_applied_micro_usdc
      + CASE WHEN NEW.state = 'served' THEN coalesce(NEW.charged_micro_usdc, 0) ELSE 0 END)
  WHERE u.family = substr(NEW.payer, 5) AND u.day = (NEW.created_at AT TIME ZONE 'UTC')::date;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION x402_give_back_to_key FROM PUBLIC;

CREATE TRIGGER x402_payment_gives_back AFTER UPDATE ON x402_payment
  FOR EACH ROW WHEN (NEW.method = 'api_key' AND NEW.state <> OLD.state AND NEW.state IN ('served', 'credited', 'dead'))
  EXECUTE FUNCTION x402_give_back_to_key();
ALTER TABLE x402_payment ENABLE ALWAYS TRIGGER x402_payment_gives_back;
