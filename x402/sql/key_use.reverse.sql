DROP TRIGGER x402_payment_gives_back ON x402_payment;
DROP FUNCTION x402_give_back_to_key();
