DROP TRIGGER x402_purchase_is_final ON x402_payment;
DROP FUNCTION x402_guard_purchase();
