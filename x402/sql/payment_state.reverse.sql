DROP TRIGGER x402_consumed_log_is_final ON x402_consumedlog;
DROP TRIGGER x402_payment_no_truncate ON x402_payment;
DROP FUNCTION x402_refuse_change();
DROP TRIGGER x402_guard_payment ON x402_payment;
DROP FUNCTION x402_guard_payment();
