-- What a payment buys, and under which key, is said when its row is made and never again: its settlement mints what stands there.
CREATE FUNCTION x402_guard_purchase() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'what payment % buys cannot change', OLD.id USING ERRCODE = '23514';
END $$;

CREATE TRIGGER x402_purchase_is_final BEFORE UPDATE ON x402_payment
  FOR EACH ROW WHEN (NEW.minted_micro_usd <> OLD.minted_micro_usd OR NEW.purchase_key <> OLD.purchase_key)
  EXECUTE FUNCTION x402_guard_purchase();
ALTER TABLE x402_payment ENABLE ALWAYS TRIGGER x402_purchase_is_final;
